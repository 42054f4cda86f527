"""A backup brought into an empty service is the same service.

With BACKBENCH_TORTURE=1 on a store of 1,000 runs, else on a small one.
"""

import json
import os
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from backbench.errors import StorageError
from backbench.files import bucket
from backbench.files.transfer import in_parallel
from backbench.pipeline import service as service_functions
from backbench.pipeline import service_database, service_parts, service_stack
from backbench.pipeline.service_settings import Settings, read
from own_service import Running, fresh_folder

RUNS = 1000 if os.environ.get("BACKBENCH_TORTURE") else 12
STEPS = 44
LARGE = 9 << 20


@pytest.fixture(scope="module")
def seeded(service: Running) -> Settings:
    """Runs with a metric series, params, tags and artifacts, one of them in several parts."""
    settings = service.settings
    experiment = _seed_runs(settings)
    content = os.urandom(LARGE)
    with settings.store_access():
        objects = [f"{experiment}/{number}/artifacts/predictions.parquet" for number in range(RUNS)]
        in_parallel(lambda key: bucket.put_bytes(key.encode(), settings.bucket_uri + key), objects)
        path = service.data.parent / "large.h5"
        path.write_bytes(content)
        bucket.put(path, f"{settings.bucket_uri}{experiment}/0/artifacts/large.h5")
        bucket.put_bytes(b"", f"{settings.bucket_uri}{experiment}/0/artifacts/large.h5.d/a b+ü.txt")
    return settings


@pytest.fixture(scope="module")
def made(seeded: Settings, tmp_path_factory) -> tuple[Path, service_functions.Report]:
    target = tmp_path_factory.mktemp("backup") / "monday"
    report = service_functions.backup(seeded.folder, target, say=lambda _: None)
    return target, report


@pytest.fixture(scope="module")
def empty(service: Running) -> Iterator[Settings]:
    """Another service: database and store only."""
    folder = fresh_folder()
    settings = read(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_parts, "STOP_SECONDS", 2)
        with service_stack.stack(settings, folder / "data", tracking=False):
            yield settings
    shutil.rmtree(folder, ignore_errors=True)


def test_a_backup_counts_everything(made, seeded: Settings):
    target, report = made
    assert report.runs == service_database.runs(seeded) >= RUNS
    assert report.rows >= RUNS * STEPS
    assert report.objects >= RUNS + 2
    assert report.bytes >= LARGE
    assert service_functions.verify(target)["format"] == 1
    assert "every count and checksum equal" in str(report)


def test_a_backup_never_overwrites(made, seeded: Settings):
    with pytest.raises(StorageError, match="not empty"):
        service_functions.backup(seeded.folder, made[0], say=lambda _: None)


@pytest.mark.parametrize("there", [False, True])
def test_a_backup_that_fails_leaves_nothing(tmp_path: Path, there: bool):
    folder = fresh_folder()
    if there:
        (tmp_path / "b").mkdir()
    try:
        with pytest.raises(StorageError, match="start the service first"):
            service_functions.backup(folder, tmp_path / "b", say=lambda _: None)
        assert list(tmp_path.rglob("*")) == [tmp_path / "b"] * there
    finally:
        shutil.rmtree(folder)


def test_an_empty_folder_takes_a_backup_and_stays_the_same(service: Running, tmp_path, monkeypatch):
    """It may be a mount, or where a shell is."""
    there = tmp_path / "there"
    there.mkdir()
    before = there.stat().st_ino
    monkeypatch.chdir(there)
    service_functions.backup(service.settings.folder, Path(), say=lambda _: None)
    assert there.stat().st_ino == before
    assert service_functions.verify(there)["format"] == 1
    assert _mode(there) == 0o700


def test_others_cannot_enter_what_a_service_and_its_backups_hold(made, service: Running):
    for folder in (made[0], service.data / "objects", service.data / "logs", service.data / "tmp"):
        assert _mode(folder) == 0o700, folder


def test_a_restored_service_holds_the_same(made, seeded: Settings, empty: Settings, monkeypatch):
    """Every table and every object, though the first try is stopped; another refuses then."""
    target, report = made
    _stop_at_the_last_database(empty, target, monkeypatch)
    with empty.store_access():
        bucket.delete(empty.bucket_uri + service_functions.verify(target)["objects"][0]["key"])
        bucket.put_bytes(b"mine", f"{empty.bucket_uri}mine")
        with pytest.raises(StorageError, match=r"not the backup's \(mine "):
            service_functions.restore(empty.folder, target, say=lambda _: None)
        bucket.delete(f"{empty.bucket_uri}mine")
    said: list[str] = []
    assert service_functions.restore(empty.folder, target, say=said.append) == report
    assert "restoring 1 objects ..." in said
    assert "passwords of MLflow are those of the backup now" in said[-1]
    for name in service_database.DATABASES:
        assert _content(empty, name) == {
            table: tuple(value)
            for table, value in service_functions.verify(target)["databases"][name][
                "tables"
            ].items()
        }
    assert _objects(empty) == _objects(seeded)
    with pytest.raises(StorageError, match="runs already"):
        service_functions.restore(empty.folder, target, say=lambda _: None)


def test_a_backup_while_runs_are_written_is_of_one_moment(service: Running, tmp_path: Path):
    """What pg_dump wrote is what was counted, though rows arrive all the time."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            _seed_runs(service.settings, runs=1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        service_functions.backup(service.settings.folder, tmp_path / "b", say=lambda _: None)
    finally:
        stop.set()
        writer.join()
    counted = service_functions.verify(tmp_path / "b")["databases"]["mlflow"]["tables"]
    assert _loaded_elsewhere(service.settings, tmp_path / "b" / "mlflow.dump") == {
        table: tuple(value) for table, value in counted.items()
    }


@pytest.mark.parametrize("victim", ["mlflow.dump", "objects"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    made, empty: Settings, tmp_path: Path, victim: str
):
    source = shutil.copytree(made[0], tmp_path / "copy")
    path = next(p for p in sorted(source.rglob("*")) if p.is_file() and victim in str(p))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = _objects(empty)
    with pytest.raises(StorageError, match="damaged"):
        service_functions.restore(empty.folder, source, say=lambda _: None)
    path.unlink()
    with pytest.raises(StorageError, match="missing"):
        service_functions.restore(empty.folder, source, say=lambda _: None)
    assert _objects(empty) == before


def test_an_unfinished_backup_is_none(made, empty: Settings, tmp_path: Path):
    (tmp_path / "mlflow.dump").write_bytes(b"half")
    with pytest.raises(StorageError, match="no finished backup"):
        service_functions.restore(empty.folder, tmp_path, say=lambda _: None)


def test_in_containers_the_databases_own_pg_dump_is_used(service: Running, tmp_path, monkeypatch):
    """`docker compose exec -T database pg_dump ...`: here a docker that runs the rest natively."""
    _script(tmp_path / "docker", f'echo "$@" >> {tmp_path}/asked\nshift 4\nexec "$@"')
    path = f"{tmp_path}:{servers.require_postgres()}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PGPASSWORD", service.settings["SERVICE_DATABASE_PASSWORD"])
    folder = service.settings.folder
    report = service_functions.backup(folder, tmp_path / "b", compose=True, say=lambda _: None)
    asked = (tmp_path / "asked").read_text()
    assert asked.count("compose exec -T database pg_dump") == 2
    assert service.settings["SERVICE_DATABASE_PASSWORD"] not in asked
    assert report.runs == service_database.runs(service.settings)


def test_the_compose_that_reaches_the_database_is_taken(service: Running, tmp_path, monkeypatch):
    """Docker without its plugin, an old Compose without the daemon, and podman's, which runs."""
    _script(tmp_path / "docker", 'echo "unknown command: docker $1" >&2\nexit 125')
    _script(tmp_path / "docker-compose", "exit 1")
    _script(tmp_path / "podman-compose", f'echo "$@" >> {tmp_path}/asked\nshift 3\nexec "$@"')
    path = f"{tmp_path}:{servers.require_postgres()}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    service_functions.backup(
        service.settings.folder, tmp_path / "b", compose=True, say=lambda _: None
    )
    assert (tmp_path / "asked").read_text().count("exec -T database pg_dump") == 2


def test_containers_that_no_compose_reaches_are_said(service: Running, tmp_path, monkeypatch):
    for name in ("docker", "docker-compose", "podman-compose"):
        _script(tmp_path / name, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(StorageError, match=r"none of docker compose, .* reaches a container"):
        service_functions.backup(
            service.settings.folder, tmp_path / "b", compose=True, say=lambda _: None
        )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _stop_at_the_last_database(settings: Settings, source: Path, monkeypatch) -> None:
    load, begun = service_database.load, []

    def stopped(settings: Settings, name: str, *rest: object, **more: object) -> object:
        begun.append(name)
        if set(begun) == set(service_database.DATABASES):
            raise KeyboardInterrupt
        return load(settings, name, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(service_database, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            service_functions.restore(settings.folder, source, say=lambda _: None)


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _seed_runs(settings: Settings, runs: int = RUNS) -> str:
    """Runs straight into the database: 1,000 through HTTP would take minutes."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    client = mlflow.MlflowClient(tracking_uri=settings.database_uri("mlflow"))
    experiment = client.create_experiment(uuid.uuid4().hex, artifact_location="mlflow-artifacts:/1")

    def one(number: int) -> None:
        run = client.create_run(experiment)
        client.log_batch(
            run.info.run_id,
            [Metric("f1", step / STEPS, number, step) for step in range(STEPS)],
            [Param("head.lr", "1e-4"), Param("note", "ü 'quoted' \\ \n")],
            [RunTag("backbench.stage", "train_fold")],
        )
        client.set_terminated(run.info.run_id)

    in_parallel(one, range(runs))
    return experiment


def _content(settings: Settings, name: str) -> service_database.Content:
    with service_database.transaction(settings, name) as connection:
        return service_database.content(connection)


def _objects(settings: Settings) -> list[tuple[str, int]]:
    with settings.store_access():
        listed = bucket.list_keys(settings.bucket_uri)
    return [(info.key, info.size) for info in listed]


def _loaded_elsewhere(settings: Settings, dump: Path) -> service_database.Content:
    import psycopg

    with psycopg.connect(settings.database_uri("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE elsewhere")
    return service_database.load(settings, "elsewhere", dump, compose=False)


def test_the_manifest_is_readable_and_holds_no_secret(made, seeded: Settings):
    text = (made[0] / "manifest.json").read_text()
    assert set(json.loads(text)) == {"format", "made", "databases", "objects"}
    for name, value in seeded.values.items():
        if name.endswith(("PASSWORD", "SECRET", "SECRET_KEY")):
            assert value not in text
