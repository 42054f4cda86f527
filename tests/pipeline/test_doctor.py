"""The doctor: a line a check, the cure where it fails, a status, and never a secret."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import servers
from backbench.cli import main
from backbench.pipeline import doctor as module
from backbench.pipeline import doctor_machine, doctor_stores
from backbench.pipeline.extract import extract
from backbench.pipeline.question import Question
from backbench.runs import Tracker, recording
from backbench.tasks import load_task, packaged_tasks
from small_task import small_task

SECRET = "planted-secret-value"


def seen(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit status, and each check's line by its name."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *arguments])
    out = capfd.readouterr()
    assert out.err == ""
    lines = out.out.splitlines()
    assert len(lines) == len(module.CHECKS) + 1
    return int(stop.value.code or 0), {line[4:16].strip(): line for line in lines[:-1]}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own SLURM, up or not, is not what is tested."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_an_empty_machine_is_well_and_stays_empty(capfd: pytest.CaptureFixture[str]) -> None:
    Path("mlflow.db").unlink(missing_ok=True)
    status, lines = seen(capfd)
    assert status == 0, lines
    assert "will be made by the first run" in lines["tracker"]
    assert "not installed" in lines["SLURM"]
    assert list(Path().iterdir()) == []


def test_after_a_run_every_part_is_named_and_nothing_is_left_behind(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = str(small_task(tmp_path))
    extract(Question.ask(task), "pixels", "default")
    status, lines = seen(capfd, "--task", task, "--verify")
    assert status == 0, lines
    assert "wrote to experiment small" in lines["tracker"]
    assert "0 registered models" in lines["registry"]
    assert "usable offline: pixels" in lines["weights"]
    assert "1 files, 60 rows (every checksum right)" in lines["features"]
    from mlflow import MlflowClient

    client = MlflowClient()
    names = {key for each in client.search_experiments() for key in each.tags}
    assert not any("doctor" in name for name in names)
    assert client.search_registered_models() == []
    assert len(Tracker().find({}, status=None)) == 1


def test_a_home_that_is_no_folder_is_bad(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("afile").write_text("")
    monkeypatch.setenv("BACKBENCH_HOME", "afile")
    line = seen(capfd)[1]["disk"]
    assert line.startswith("bad ")
    assert "BACKBENCH_HOME" in line


def test_features_of_built_in_samples_are_found_whatever_the_task_is_called(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = tmp_path / "mine.toml"
    digits = packaged_tasks()["digits"].read_text()
    task.write_text(digits.replace('name = "digits"', 'name = "my digits"'))
    extract(Question.ask(str(task)), "pixels", "default")
    assert "usable offline: pixels" in seen(capfd, "--task", str(task))[1]["weights"]


def test_every_failing_part_has_its_cure(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = str(small_task(tmp_path))
    features = extract(Question.ask(task), "pixels", "default")
    features.path.write_bytes(features.path.read_bytes()[:3000])
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    with recording(experiment="small", name="waits"):
        pass
    monkeypatch.delenv("BACKBENCH_OFFLINE")
    port = servers.free_port()
    for name, value in {
        "MLFLOW_TRACKING_URI": f"http://user:{SECRET}@127.0.0.1:{port}",
        "MLFLOW_TRACKING_USERNAME": "user",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "S3_BUCKET": "lab",
        "BACKBENCH_DEVICE": "cuda:7",
        "BACKBENCH_TRACKING_TIMEOUT": "0.5",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(doctor_machine, "LEAST_FREE", 1 << 60)
    status, lines = seen(capfd, "--task", task, "--backbones", "clip")
    assert status == 1
    cures = {
        "credentials": "MLFLOW_TRACKING_PASSWORD is not: export both",
        "tracker": "does not answer",
        "registry": "does not answer",
        "bucket": "check the network",
        "weights": "backbench prefetch --backbone clip",
        "features": "run extract again",
        "devices": "unset it to let Backbench choose",
        "disk": "free some",
        "spool": "backbench sync",
    }
    for name, cure in cures.items():
        assert lines[name].startswith("bad "), lines[name]
        assert cure in lines[name]
    assert not any(SECRET in line for line in lines.values())
    assert len(os.environ["AWS_SECRET_ACCESS_KEY"]) == len(SECRET)
    assert "AWS_MAX_ATTEMPTS" not in os.environ


def test_a_tracking_database_that_is_none_is_told_once_with_what_to_do(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("mlflow.db").write_bytes(b"garbage" * 1000)
    status, lines = seen(capfd)
    assert status == 1
    for name in ("tracker", "registry"):
        assert "is damaged, or no database (" in lines[name]
        assert "Put a copy of it back, or move it away" in lines[name]
    assert lines["bucket"].startswith("- ")


def test_a_bucket_is_written_read_in_a_range_and_left_as_it_was(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with servers.weed(tmp_path / "weed") as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        assert "S3_BUCKET names one" in seen(capfd)[1]["bucket"]
        monkeypatch.setenv("S3_BUCKET", store.bucket)
        status, lines = seen(capfd)
        assert status == 0, lines
        assert "put, ranged read, delete" in lines["bucket"]
        assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in lines["credentials"]
        assert "s from the object store" in lines["clocks"]
        assert not any(store.secret_key in line for line in lines.values())
        assert "Contents" not in servers.s3_client(store).list_objects_v2(Bucket=store.bucket)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        status, lines = seen(capfd)
        assert (status, lines["bucket"][:3]) == (1, "bad")


@contextmanager
def clock_of(date: str) -> Iterator[str]:
    """A server whose clock says `date`."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return date

        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_wrong_clock_is_told_with_its_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock_of("Fri, 01 Jan 2100 00:00:00 GMT") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        finding = doctor_stores.clocks(module.Asked(load_task("digits")))
    assert finding.mark == "bad"
    assert "s behind the object store" in finding.text


def test_slurm_that_does_not_answer_is_told(tmp_path: Path) -> None:
    program = tmp_path / "sinfo"
    asked = module.Asked(load_task("digits"))
    for script, mark, words in (
        ("echo 'Unable to contact slurm controller' >&2; exit 1", "bad", "scontrol ping"),
        ("echo 'cpu* up 4'; echo 'gpu up 1'", "ok", "partitions cpu*, gpu"),
        ("echo 'error: resolve_ctls_from_dns_srv' >&2; exit 1", "-", "no slurm.conf"),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        finding = doctor_machine.slurm(asked)
        assert (finding.mark, words in finding.text) == (mark, True)


def test_a_backbone_that_needs_the_network_is_not_usable_offline(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Even where the network is allowed: the check itself never asks it."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    line = seen(capfd, "--backbones", "clip")[1]["weights"]
    assert "BACKBENCH_OFFLINE forbids the network" in line
    assert "BACKBENCH_OFFLINE" not in os.environ
