"""Backup and restore of a service with 1,000 runs of 44 steps: seconds, and whether all is equal.

    python benchmarks/service_backup.py [RUNS] [--json PATH]

Needs PostgreSQL and weed (`pip install -e '.[dev]'`, `apt-get install postgresql`). The tracking
server itself is not started: runs are seeded through MLflow's own store.
"""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from own_home import own_home
from told import tell

from backbench.files import bucket
from backbench.files.transfer import in_parallel
from backbench.pipeline import service, service_stack
from backbench.pipeline.service_settings import Settings, read
from own_service import fresh_folder

STEPS = 44


def measure(runs: int) -> dict[str, float]:
    """Seed one service, back it up, restore it into another."""
    with empty_service() as first, empty_service() as second, own_home() as folder:
        prepare(second)
        prepare(first)
        seed(first, runs)
        target = folder / "backup"
        start = time.perf_counter()
        report = service.backup(first.folder, target, say=lambda _: None)
        middle = time.perf_counter()
        restored = service.restore(second.folder, target, say=lambda _: None)
        end = time.perf_counter()
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(report)
    return {
        "backup_runs": runs,
        "backup_seconds": middle - start,
        "restore_seconds": end - middle,
        "restore_over_backup": (end - middle) / (middle - start),
        "backup_megabytes": size / 1e6,
        "backup_is_equal": restored == report,
    }


@contextmanager
def empty_service() -> Iterator[Settings]:
    """Database and store."""
    folder = fresh_folder()
    settings = read(folder)
    try:
        with service_stack.stack(settings, folder / "data", tracking=False):
            yield settings
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(settings: Settings) -> None:
    """MLflow's tables, as the tracking server makes them when it first starts."""
    import mlflow

    mlflow.MlflowClient(tracking_uri=settings.database_uri("mlflow")).search_experiments()


def seed(settings: Settings, runs: int) -> None:
    """Runs with params, tags, a metric series and two artifacts each."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    client = mlflow.MlflowClient(tracking_uri=settings.database_uri("mlflow"))
    experiment = client.create_experiment(uuid.uuid4().hex, artifact_location="mlflow-artifacts:/1")

    def one(_: int) -> None:
        run = client.create_run(experiment).info.run_id
        series = [Metric("f1", step / STEPS, step, step) for step in range(STEPS)]
        params = [Param(f"p{n}", str(n)) for n in range(10)]
        tags = [RunTag(f"t{n}", str(n)) for n in range(10)]
        client.log_batch(run, series, params, tags)
        client.set_terminated(run)
        for name, size in (("predictions.parquet", 40_000), ("weights.safetensors", 200_000)):
            uri = f"{settings.bucket_uri}{experiment}/{run}/artifacts/{name}"
            bucket.put_bytes(os.urandom(size), uri)

    with settings.store_access():
        in_parallel(one, range(runs))


if __name__ == "__main__":
    tell(measure, __doc__, 1000)
