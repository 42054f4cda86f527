"""The whole chain against PostgreSQL, an object store and MLflow with passwords, unchanged."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

import servers
from backbench.files import bucket
from backbench.pipeline.extract import extract
from backbench.pipeline.question import Question
from backbench.runs import Tracker, tags
from backbench.runs.registry import Registry
from own_service import Running
from small_task import small_task

BACKBENCH = Path(sys.executable).with_name("backbench")
SAMPLES = "samples"
RUNS = {"extract": 1, "train_fold": 2, "evaluate": 1, "leaderboard": 1}


@dataclass(frozen=True)
class Client:
    """A machine that uses the service: its folder, its variables and what it printed."""

    folder: Path
    task: Path
    variables: Mapping[str, str]
    said: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `backbench` command on this machine."""
        return subprocess.run(
            [BACKBENCH, *arguments], cwd=self.folder, env=os.environ | dict(self.variables),
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def variables_of(service: Running, home: Path) -> dict[str, str]:
    """What docs/service.md tells a client to export."""
    settings = service.settings
    return {
        "BACKBENCH_HOME": str(home),
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_TRACKING_USERNAME": settings["SERVICE_ADMIN_USERNAME"],
        "MLFLOW_TRACKING_PASSWORD": settings["SERVICE_ADMIN_PASSWORD"],
        "AWS_ENDPOINT_URL_S3": settings["SERVICE_STORE_URL"],
        "AWS_ACCESS_KEY_ID": settings["SERVICE_STORE_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": settings["SERVICE_STORE_SECRET_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def to_bucket(task: Path, store: servers.Store) -> None:
    """Move pictures and manifest into a bucket, and let the task and the manifest name them so."""
    client = servers.s3_client(store)
    client.create_bucket(Bucket=store.bucket)
    table = pd.read_csv(task.with_name("samples.csv"))
    for name in table["path"]:
        picture = task.parent / name
        client.put_object(Bucket=store.bucket, Key=name, Body=picture.read_bytes())
        picture.unlink()
    table["path"] = f"s3://{store.bucket}/" + table["path"]
    text = table.to_csv(index=False)
    client.put_object(Bucket=store.bucket, Key="samples.csv", Body=text.encode())
    task.with_name("samples.csv").unlink()
    place = f"s3://{store.bucket}/samples.csv"
    task.write_text(task.read_text().replace("samples.csv", place))


@pytest.fixture(scope="module")
def client(service: Running, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The chain over pictures and a manifest of a bucket, by the command line, run to its end."""
    folder = tmp_path_factory.mktemp("client")
    task = small_task(folder)
    variables = variables_of(service, folder / "home")
    keys = variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
    to_bucket(task, servers.Store(variables["AWS_ENDPOINT_URL_S3"], SAMPLES, *keys, 0))
    fresh = Client(folder, task, variables, "")
    done = fresh.run("run", "--task", str(task), "--backbones", "pixels")
    assert done.returncode == 0, done.stdout + done.stderr
    return Client(folder, task, variables, done.stdout + done.stderr)


@pytest.fixture
def on_client(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """This process as that machine."""
    for name, value in client.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(client.folder)
    return client


def stages(task: str) -> Counter[str]:
    return Counter(run.tags[tags.STAGE] for run in Tracker().find({tags.TASK: task}))


def test_every_run_is_on_the_server_and_the_spool_is_empty(on_client: Client) -> None:
    assert stages("small") == RUNS
    assert list((on_client.folder / "home" / "spool").glob("[!.]*")) == []
    assert Registry().current("small", "champion") is not None


def test_features_predictions_and_the_model_are_in_the_bucket(
    service: Running, on_client: Client
) -> None:
    with service.settings.store_access():
        found = bucket.list_keys(service.settings.bucket_uri)
    sizes = {info.key: info.size for info in found}
    runs = {run.run_id: run.tags[tags.STAGE] for run in Tracker().find({tags.TASK: "small"})}
    for stage, ending in {
        "extract": ".h5",
        "train_fold": "/predictions.parquet",
        "evaluate": "/predictions.parquet",
        "leaderboard": "/model/artifacts/champion/heads.safetensors",
    }.items():
        mine = [run_id for run_id, of in runs.items() if of == stage]
        for run_id in mine:
            assert [k for k in sizes if f"/{run_id}/" in k and k.endswith(ending) and sizes[k] > 0]


def test_pictures_and_manifest_came_through_the_bucket(on_client: Client) -> None:
    assert list((on_client.folder / "pictures").iterdir()) == []
    staged = [p for p in (on_client.folder / "home" / "staging").rglob("*") if p.is_file()]
    assert sum(p.read_bytes().startswith(b"\x89PNG") for p in staged) == 60


def test_a_second_machine_downloads_the_features_instead_of_computing_them(
    on_client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "another"))
    features = extract(Question.ask(str(on_client.task)), "pixels", "default")
    assert (features.computed, features.reused) == (0, 60)
    assert stages("small")["extract"] == 1


def test_what_the_bucket_cannot_give_is_listed_with_its_key_and_reason(
    on_client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One object that is no picture, and one that is not there."""
    monkeypatch.chdir(tmp_path)
    manifest = f"s3://{SAMPLES}/samples.csv"
    text = bucket.read(manifest, 0, 1 << 20).decode()
    for wrong in ("p001", "p002"):
        text = text.replace(f"pictures/{wrong}.png", f"pictures/{wrong}-wrong.png")
    bucket.put_bytes(b"no picture", f"s3://{SAMPLES}/pictures/p001-wrong.png")
    bucket.put_bytes(text.encode(), f"s3://{SAMPLES}/wrong.csv")
    task = tmp_path / "wrong.toml"
    wrong = on_client.task.read_text().replace(manifest, f"s3://{SAMPLES}/wrong.csv")
    wrong = wrong.replace('name = "small"', 'name = "wrong"\nmax_error_fraction = 0.05')
    task.write_text(wrong)
    features = extract(Question.ask(str(task)), "pixels", "default")
    assert len(features.ids) == 58
    (run,) = Tracker().find({tags.STAGE: "extract", tags.TASK: "wrong"})
    listed = pd.read_csv(Tracker().download(run, "data_errors.csv")).set_index("sample_id")
    assert listed["path"].str.endswith(("p001-wrong.png", "p002-wrong.png")).all()
    assert "not a readable picture" in listed.loc["p001.png", "error"]
    assert "there is no key 'pictures/p002-wrong.png'" in listed.loc["p002.png", "error"]


def test_no_secret_is_in_a_run_an_artifact_a_line_or_the_doctors_answer(
    service: Running, on_client: Client
) -> None:
    secrets = [
        on_client.variables[n] for n in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")
    ]
    asked = on_client.run("doctor", "--task", str(on_client.task))
    assert asked.returncode == 0, asked.stdout
    assert "MLFLOW_TRACKING_PASSWORD" in asked.stdout
    told = [on_client.said, asked.stdout, asked.stderr]
    for run in Tracker().find({}, status=None):
        told += [str(dict(run.tags)), str(dict(run.params)), run.name]
    champion = Registry().current("small", "champion")
    told.append(str(champion.evidence))
    places = [on_client.folder, service.data]
    written = [p for place in places for p in place.rglob("*") if p.is_file()]
    assert len(written) > 200
    for secret in secrets:
        assert not any(secret in text for text in told)
        assert [p for p in written if secret.encode() in p.read_bytes()] == []


def postgres(service: Running, words: bytes) -> list[int]:
    """PostgreSQL's processes whose command line holds `words`."""
    shown = {pid: Path(f"/proc/{pid}/cmdline") for pid in service.processes}
    return [p for p, path in shown.items() if words in path.read_bytes()]


BACKEND, MAIN = b"mlflow mlflow 127.0.0.1", b"listen_addresses"


@contextmanager
def crashing(service: Running) -> Iterator[list[int]]:
    """PostgreSQL crashes five times: a killed backend ends every connection there is.

    The third time its main process is told to end at once; `up` starts it again.
    """
    stop, crashes = threading.Event(), []

    def crash() -> None:
        while len(crashes) < 5 and not stop.wait(0.7):
            words, number = BACKEND, signal.SIGKILL
            if len(crashes) == 2:
                words, number = MAIN, signal.SIGQUIT
            try:
                for pid in postgres(service, words)[:1]:
                    os.kill(pid, number)
                    crashes.append(pid)
            except (ProcessLookupError, FileNotFoundError):
                continue  # it ended by itself

    thread = threading.Thread(target=crash)
    thread.start()
    try:
        yield crashes
    finally:
        stop.set()
        thread.join()


def test_a_database_that_crashes_and_restarts_in_mid_chain_loses_and_doubles_nothing(
    service: Running, on_client: Client, tmp_path: Path
) -> None:
    """What could not be sent waits in the spool; the same command, repeated, ends the chain.

    The features are those of the other task, key for key: no run of their own.
    """
    task = small_task(tmp_path)
    task.write_text(task.read_text().replace('name = "small"', 'name = "crashed"'))
    chain = ("run", "--task", str(task), "--backbones", "pixels")
    before = postgres(service, MAIN)
    with crashing(service) as crashes:
        first = on_client.run(*chain)
    assert "Traceback" not in first.stderr
    assert len(crashes) > 2
    while postgres(service, MAIN) in ([], before):
        time.sleep(0.1)  # until `up` has seen it; the test's own limit ends this
    assert on_client.run("sync").returncode == 0
    last = on_client.run(*chain)
    assert last.returncode == 0, last.stdout + last.stderr
    found = stages("crashed")
    assert (found["train_fold"], found["evaluate"]) == (2, 1)
    identities = [run.tags[tags.IDENTITY] for run in Tracker().find({tags.TASK: "crashed"})]
    assert len(identities) == len(set(identities))
    assert list((on_client.folder / "home" / "spool").glob("[!.]*")) == []


def test_a_reader_has_a_board_and_no_run_of_it(on_client: Client, service: Running) -> None:
    """A title that was asked for by name is an error all the same."""
    from mlflow.server.auth.client import AuthServiceClient

    home, password = on_client.folder / "spectator", "a spectator's password"
    AuthServiceClient(service.settings.tracking_uri).create_user("spectator", password)
    own = {
        "BACKBENCH_HOME": str(home),
        "MLFLOW_TRACKING_USERNAME": "spectator",
        "MLFLOW_TRACKING_PASSWORD": password,
    }
    before = stages("small")
    machine = replace(on_client, variables={**on_client.variables, **own})
    done = machine.run("leaderboard", "--task", str(machine.task), "--out", str(home / "board"))
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "(403)" in line]
    assert line.endswith("This run is not recorded.")
    assert "spool" not in done.stdout + done.stderr
    assert (home / "board" / "leaderboard.html").is_file()
    assert list((home / "spool").glob("[!.]*")) == []
    assert stages("small") == before
    forced = machine.run(
        *("leaderboard", "--task", str(machine.task), "--force", "--reason", "mine"),
        *("--out", str(home / "board")),
    )
    assert forced.returncode == 2, forced.stdout + forced.stderr
    assert "(403)" in forced.stderr
