"""How long `backbench sync` takes for runs with 44-step series, to a local server of MLflow.

    python benchmarks/spool_sync.py [RUNS] [--json PATH]

Each run has two series of 44 steps, ten params, a data set and two artifacts. The server is
MLflow's own with its default workers, SQLite and a local folder, at rest after its start. Compared
with the same content sent by MLflow's client alone, run by run. Processor time is that of a run.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from own_home import own_home
from rich.console import Console
from told import tell

from backbench.pipeline.service_parts import part
from backbench.runs import Tracker, connection, recording, spool, tags
from backbench.runs.record import ARTIFACTS, Record
from backbench.runs.sync import SyncReport, sync

STEPS = 44
PLAIN = 50
DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7", "MLFLOW_HTTP_POOL_CONNECTIONS": "10"}
"""MLflow's, which Backbench sets otherwise."""


def measure(runs: int) -> dict[str, float]:
    """Record offline, start the server, sync, look whether all of it is there."""
    with own_home() as folder:
        os.environ["BACKBENCH_OFFLINE"] = "1"
        for number in range(runs):
            record(number)
        with served(folder) as session:
            os.environ |= DEFAULTS
            plain = sent_plainly(spool.waiting()[:PLAIN])
            for name in DEFAULTS:
                del os.environ[name]
            own, server = time.process_time(), used(session)
            report = sync(console=Console(quiet=True))
            own, server = time.process_time() - own, used(session) - server
            there = len(Tracker().find({tags.STAGE: "train_fold"}))
    return figures(report, there, plain) | {
        "sync_own_processor_ms": 1000 * own / runs,
        "sync_server_processor_ms": 1000 * server / runs,
    }


def figures(report: SyncReport, there: int, plain: float) -> dict[str, float]:
    """Seconds of everything, and how many times as fast as the client alone (seconds a run)."""
    if not report.is_complete:
        raise SystemExit(str(report))
    each = report.seconds / len(report.sent)
    return {
        "sync_runs": len(report.sent),
        "sync_runs_there": there,
        "sync_seconds": report.seconds,
        "sync_seconds_per_1000": 1000 * each,
        "sync_vs_plain_client": plain / each,
    }


def record(number: int) -> None:
    """One run of a fold-by-fold training, into the spool."""
    with recording(
        experiment="digits",
        name=f"train {number}",
        tags={tags.STAGE: "train_fold", tags.SEED: number},
        params={f"task.field{i}": i for i in range(10)},
    ) as run:
        for step in range(STEPS):
            run.log_metrics({"by_fold/accuracy": step / STEPS, "by_fold/f1": 0.5}, step=step)
        run.artifact("predictions.parquet").write_bytes(os.urandom(20_000))
        run.artifact("task.json").write_text("{}")
        run.dataset("digits", "0" * 16, "builtin")


def sent_plainly(folders: list[Path]) -> float:
    """Seconds a run that MLflow's client needs for the same content, in as few calls as it has."""
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, Metric, Param

    client = MlflowClient()
    experiment = client.create_experiment("plain")
    start = time.perf_counter()
    for folder in folders:
        told = Record.read(folder)
        run = client.create_run(experiment, run_name=told.name, tags={"sent": "plainly"})
        dataset = Dataset("digits", "0" * 16, "local", "builtin")
        client.log_inputs(run.info.run_id, [DatasetInput(dataset)])
        metrics = [Metric(p.key, p.value, p.time, p.step) for p in told.metrics]
        params = [Param(key, value) for key, value in told.params.items()]
        client.log_batch(run.info.run_id, metrics, params)
        client.log_artifacts(run.info.run_id, str(folder / ARTIFACTS))
        client.set_terminated(run.info.run_id)
    return (time.perf_counter() - start) / len(folders)


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A server that is at rest and does not outlive this process; yields its session."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with part("server", command, os.environ, folder, ended_by=signal.SIGTERM) as running:
        os.environ |= {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "BACKBENCH_TRACKING_TIMEOUT": "120",
        }
        del os.environ["BACKBENCH_OFFLINE"]
        connection.connect()
        before = -1.0
        while used(running.process.pid) - before > 0.05:
            before = used(running.process.pid)
            time.sleep(2)
        yield running.process.pid


def used(session: int) -> float:
    """Seconds of processor time of all processes of a session."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        ticks += (int(fields[3]) == session) * (int(fields[11]) + int(fields[12]))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    tell(measure, __doc__, 1000)
