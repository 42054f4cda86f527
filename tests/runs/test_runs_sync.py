"""The spool and its sync: nothing lost, nothing doubled, whoever is killed."""

import io
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from backbench.errors import StorageError, TrackingError, UnreachableError
from backbench.runs import Tracker, connection, recording, tags
from backbench.runs.record import Record
from backbench.runs.replay import Replay, replay
from backbench.runs.spool import claimed, waiting
from backbench.runs.sync import sync as sync_spool

WRITER = str(Path(__file__).with_name("writer.py"))
QUIET = Console(quiet=True)


def client():
    from mlflow import MlflowClient

    return MlflowClient()


def sync(folder=None):
    return sync_spool(folder, console=QUIET)


def record(count=1, name="train", **more):
    for number in range(count):
        with recording(
            experiment="digits", name=f"{name} {number}", tags={tags.STAGE: "train_fold"}, **more
        ) as run:
            for fold in range(5):
                run.log_metric("accuracy", fold / 10, step=fold)
            run.artifact("a/oof.txt").write_text("oof")
            run.dataset("digits", "1", "sklearn")
    return run


@pytest.fixture
def online(monkeypatch):
    return lambda: monkeypatch.delenv("BACKBENCH_OFFLINE", raising=False)


def served():
    found = Tracker().find({tags.STAGE: "train_fold"})
    return [run for run in found if run.source == "server"]


def test_what_was_recorded_offline_arrives_as_if_it_had_been_online(offline, online, spool):
    run = record(params={"task.lr": 1}, note="hello")
    assert run.run_id == f"spool:{run.identity}"
    (folder,) = waiting(spool)
    told = Record.read(folder)
    online()
    report = sync()
    assert list(report.sent) == [run.identity]
    found = client().get_run(report.sent[run.identity])
    assert (found.info.start_time, found.info.end_time) == (told.start, told.end)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"task.lr": "1"}
    assert found.data.tags["mlflow.note.content"] == "hello"
    history = client().get_metric_history(found.info.run_id, "accuracy")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (p.step, p.value, p.time) for p in told.metrics
    ]
    assert [p for p in spool.rglob("*") if p.is_file()] == []
    assert str(sync()).startswith("sync: nothing to send")


def test_offline_never_asks_a_server(offline, monkeypatch):
    """MLflow is not even imported: half the start-up time of a compute node's task."""
    code = (
        "import sys\n"
        "from backbench.runs import recording, Tracker\n"
        "with recording(experiment='x', name='y') as run: run.log_metric('m', 1)\n"
        "assert len(Tracker().find({})) == 1\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_a_wrong_folder_is_no_spool_with_nothing_to_send(tmp_path, online):
    online()
    (tmp_path / "home" / "spool").mkdir(parents=True)
    (tmp_path / "file").touch()
    for wrong, right in (("home", r"home/spool\."), ("absent", "a folder"), ("file", "a folder")):
        with pytest.raises(StorageError, match=f"{wrong} is no spool: name .*{right}"):
            sync(tmp_path / wrong)
    assert "nothing to send" in str(sync(tmp_path / "home" / "spool"))


def test_sync_offline_is_refused(offline):
    with pytest.raises(TrackingError, match="BACKBENCH_OFFLINE"):
        sync()


def test_syncing_a_copy_of_the_spool_again_leaves_one_run_a_record(
    offline, online, spool, tmp_path
):
    record(3)
    shutil.copytree(spool, tmp_path / "copy")
    online()
    assert len(sync().sent) == 3
    again = sync(tmp_path / "copy")
    assert (len(again.sent), len(again.there)) == (0, 3)
    assert len(served()) == 3


@pytest.mark.slow
def test_two_places_at_once_leave_one_run_a_record(server, spool, monkeypatch, tmp_path):
    """Each makes a run before it sees the other's; both have to keep the same one."""
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    record(12)
    copies = [tmp_path / f"copy{i}" for i in range(2)]
    for copy in copies:
        shutil.copytree(spool, copy)
    shutil.rmtree(spool)
    monkeypatch.delenv("BACKBENCH_OFFLINE")
    before = len(served())
    threads = [threading.Thread(target=sync, args=(copy,)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for copy in copies:
        assert sync(copy).is_complete
    identities = [run.identity for run in served()]
    assert len(identities) == len(set(identities)) == before + 12
    for run in served():
        assert len(client().get_metric_history(run.run_id, "accuracy")) == 5


STEPS = ["upload", "log_inputs", "log_batch", "set_terminated"]


@pytest.mark.parametrize("step", STEPS)
def test_a_replay_cut_off_at_any_step_is_resumed_not_doubled(
    step, offline, online, spool, monkeypatch
):
    from mlflow import MlflowClient

    from backbench.runs.files_of_run import ArtifactStore

    run = record()
    online()
    owner = ArtifactStore if step == "upload" else MlflowClient
    real = getattr(owner, step)

    def cut(*args, **kwargs):
        real(*args, **kwargs)
        raise ConnectionError("cut off just after it arrived")

    monkeypatch.setattr(owner, step, cut)
    (folder,) = waiting(spool)
    with pytest.raises(UnreachableError):
        replay(folder)
    assert len(served()) == (step == "set_terminated")  # the last step of all
    monkeypatch.setattr(owner, step, real)
    report = sync()
    assert list(report.sent | report.there) == [run.identity]
    (found,) = served()
    assert len(client().get_metric_history(found.run_id, "accuracy")) == 5
    assert Tracker().download(found, "a/oof.txt").read_text() == "oof"
    assert len(client().get_run(found.run_id).inputs.dataset_inputs) == 1


def test_a_store_that_lost_something_is_noticed_before_the_record_goes(
    offline, online, spool, monkeypatch
):
    from backbench.runs.files_of_run import ArtifactStore

    record()
    online()
    monkeypatch.setattr(ArtifactStore, "upload", lambda *_: None)
    report = sync()
    (line,) = report.failed.values()
    assert "lacks artifact a/oof.txt" in line
    assert len(waiting(spool)) == 1
    monkeypatch.undo()


def test_parents_are_sent_before_children_whatever_their_number(offline, online):
    with recording(experiment="digits", name="main") as parent:
        children = [record(name=f"child {i}") for i in range(3)]
    online()
    report = sync()
    for child in children:
        found = client().get_run(report.sent[child.identity])
        assert found.data.tags["mlflow.parentRunId"] == report.sent[parent.identity]


def test_an_interrupted_sync_has_finished_what_it_began_and_is_repeated(
    offline, online, spool, monkeypatch
):
    record(6)
    online()
    real, calls = Replay.send, []

    def send(self, found):
        calls.append(self)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, found)

    monkeypatch.setattr("backbench.runs.sync.TOGETHER", 2)
    monkeypatch.setattr(Replay, "send", send)
    with pytest.raises(KeyboardInterrupt):
        sync()
    left = len(waiting(spool))
    assert left in (2, 4)  # the chunk of the third, and the last where that had not begun
    monkeypatch.setattr(Replay, "send", real)
    assert len(sync().sent) == left
    assert len(served()) == 6


def test_a_record_in_other_hands_is_left_to_them(offline, online, spool):
    record()
    online()
    (folder,) = waiting(spool)
    with claimed(folder) as mine:
        assert mine
        assert sync().busy == 1
    assert len(sync().sent) == 1


def test_a_broken_record_is_told_and_does_not_stop_the_others(offline, online, spool):
    record(2)
    (spool / "0000000000001-broken").mkdir()
    (spool / "0000000000001-broken" / "record.json").write_text("{")
    online()
    report = sync()
    assert len(report.sent) == 2
    assert "not a run record" in report.failed["0000000000001-broken"]
    assert not report.is_complete


def test_evaluate_on_an_offline_node_sees_the_spool_and_its_artifacts(offline):
    run = record()
    tracker = Tracker()
    (found,) = tracker.find({tags.STAGE: "train_fold"})
    assert (found.run_id, found.source) == (run.run_id, "spool")
    assert found.metrics == {"accuracy": 0.4}
    assert tracker.download(found, "a/oof.txt").read_text() == "oof"
    assert tracker.artifacts(found, "a") == ["a/oof.txt"]
    assert tracker.get(found.run_id) == found


def test_a_writer_killed_at_any_moment_leaves_whole_records_or_none(offline, online, spool):
    dice = random.Random(7)
    for _ in range(6):
        child = subprocess.Popen([sys.executable, WRITER, "500", "killed"])
        wanted = len(waiting(spool)) + 1
        while len(waiting(spool)) < wanted and child.poll() is None:
            time.sleep(0.005)
        time.sleep(dice.random() / 10)
        child.send_signal(signal.SIGKILL)
        child.wait()
    folders = waiting(spool)
    for folder in folders:
        assert len(Record.read(folder).metrics) == 44
        assert (
            sorted(p.stat().st_size for p in (folder / "artifacts/parts").iterdir()) == [20000] * 5
        )
    for folder in folders[3:]:
        shutil.rmtree(folder)
    left = len(list(spool.glob(".tmp-*")))
    online()
    report = sync()
    assert (len(report.sent), report.discarded) == (min(3, len(folders)), left)
    assert [p for p in spool.rglob("*") if p.is_file() and p.suffix != ".lock"] == []


def test_sixteen_processes_share_one_spool(offline, online, spool):
    children = [subprocess.Popen([sys.executable, WRITER, "3", f"writer {i}"]) for i in range(16)]
    assert [child.wait() for child in children] == [0] * 16
    names = [Record.read(folder).name for folder in waiting(spool)]
    assert sorted(names) == sorted(f"writer {i} {n}" for i in range(16) for n in range(3))
    assert list(spool.glob(".tmp-*")) == []


def sixteen_writers(count):
    import mlflow.tracking  # noqa: F401 - once, before the processes are made

    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=record, args=(count, f"writer {i}")) for i in range(16)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 16


@pytest.mark.slow
def test_sixteen_processes_share_one_sqlite_store(capfd):
    sixteen_writers(2)
    assert capfd.readouterr().err == ""
    assert len(served()) == 32


@pytest.mark.slow
def test_sixteen_processes_write_to_one_server_at_once(server, spool, capfd):
    before = {run.identity for run in served()}
    sixteen_writers(2)
    assert capfd.readouterr().err == ""
    assert waiting(spool) == []
    found = [run for run in served() if run.identity not in before]
    assert sorted(run.name for run in found) == sorted(
        f"writer {i} {n}" for i in range(16) for n in range(2)
    )
    for run in found[::8]:
        assert len(client().get_metric_history(run.run_id, "accuracy")) == 5
        assert Tracker().download(run, "a/oof.txt").read_text() == "oof"


@pytest.mark.slow
def test_a_server_killed_in_mid_run_loses_nothing(server, spool, monkeypatch):
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
    told = Console(record=True, file=io.StringIO())
    before = len(served())
    with recording(
        experiment="digits", name="main", tags={tags.STAGE: "train_fold"}, console=told
    ) as run:
        run.log_metric("accuracy", 1.0)
        run.artifact("x.txt").write_text("x")
        server.kill()
    assert run.run_id.startswith("spool:")
    (line,) = told.export_text().strip().splitlines()
    assert "backbench sync" in line
    assert server.uri in line
    server.start()
    monkeypatch.setattr(connection, "silence", connection.Silence())
    assert len(sync().sent) == 1
    assert len(served()) == before + 1


@pytest.mark.slow
def test_a_server_killed_during_a_sync_loses_and_doubles_nothing(server, spool, monkeypatch):
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    record(30, name="cut")
    monkeypatch.delenv("BACKBENCH_OFFLINE")
    before = len(served())
    real, calls = Replay.send, []

    def send(self, found):
        calls.append(self)
        if len(calls) == 10:
            server.kill()
        real(self, found)

    monkeypatch.setattr(Replay, "send", send)
    report = sync()
    assert not report.is_complete
    assert len(report.failed) + report.left == 30 - len(report.sent)
    assert any(server.uri in line for line in report.failed.values())
    monkeypatch.setattr(Replay, "send", real)
    server.start()
    assert sync().is_complete
    found = served()
    assert len(found) == len({run.identity for run in found}) == before + 30
    cut = [run for run in found if run.name.startswith("cut")]
    for run in cut:
        assert len(client().get_metric_history(run.run_id, "accuracy")) == 5


def test_a_lock_left_by_a_dead_process_does_not_stop_the_next(offline, online, spool):
    record()
    (folder,) = waiting(spool)
    code = (
        "import sys, os, signal\n"
        "from pathlib import Path\n"
        "from backbench.runs import spool\n"
        "with spool.claimed(Path(sys.argv[1])) as mine:\n"
        "    assert mine\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False, env=os.environ)
    online()
    assert len(sync().sent) == 1
    assert spool_is_empty(spool)


def spool_is_empty(folder):
    return waiting(folder) == [] and list((folder / ".locks").iterdir()) == []


@pytest.mark.parametrize("name", ["1-a", ".tmp-a"])
def test_a_spool_that_cannot_be_written_is_one_line(tmp_path, name):
    """Its locks cannot be made: that stops root too, who may write to any folder."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "record.json").write_text("{}")
    (tmp_path / ".locks").write_text("")
    with pytest.raises(StorageError, match=f"cannot write to the spool {tmp_path}") as error:
        sync(tmp_path)
    assert "\n" not in str(error.value)
