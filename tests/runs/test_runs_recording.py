import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from backbench.errors import StorageError, TaskError, TrackingError
from backbench.runs import Dataset, Tracker, connection, environment, recording, tags
from backbench.runs.record import Record, metric_key


def client():
    from mlflow import MlflowClient

    return MlflowClient()


def record_one(name="train", **more):
    with recording(experiment="digits", name=name, tags={tags.STAGE: "train_fold"}, **more) as run:
        for fold in range(3):
            run.log_metric("accuracy", 0.5 + fold / 10, step=fold)
        run.artifact("folder/predictions.txt").write_text("yes")
    return run


def test_a_run_arrives_whole_and_leaves_the_spool(spool):
    with recording(
        experiment="digits",
        name="train clip",
        tags={tags.STAGE: "train_fold", tags.SEED: 42, tags.COMPLETE: True, tags.FOLD: None},
        params={"task.lr": 1e-4},
        note="# Hello",
    ) as run:
        run.log_metrics({"accuracy": 0.5, "f1": 0.25}, step=7)
        run.log_metric("accuracy", 0.75, step=8)
        run.artifact("a/b.txt").write_text("content")
        run.dataset("digits", "d" * 40, "sklearn")
    found = client().get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "train clip"
    assert found.data.metrics == {"accuracy": 0.75, "f1": 0.25}
    assert found.data.params == {"task.lr": "0.0001"}
    assert found.data.tags[tags.SEED] == "42"
    assert found.data.tags[tags.COMPLETE] == "true"
    assert tags.FOLD not in found.data.tags
    assert found.data.tags["mlflow.note.content"] == "# Hello"
    (data,) = found.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "d" * 36)
    history = client().get_metric_history(run.run_id, "accuracy")
    assert [(m.step, m.value) for m in history] == [(7, 0.5), (8, 0.75)]
    assert (Path("mlruns/1") / run.run_id / "artifacts/a/b.txt").read_text() == "content"
    assert [p for p in spool.rglob("*") if p.is_file()] == []


def test_nothing_but_errors_is_printed(tmp_path):
    """The first run makes the database, which MLflow tells in two lines, Alembic in dozens."""
    (tmp_path / "mlflow.db").unlink()
    code = (
        "from backbench.runs import recording\n"
        "with recording(experiment='x', name='y') as run: run.log_metric('m', 1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_without_a_tracking_uri_runs_go_where_plain_mlflow_would_put_them(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    record_one()
    assert (tmp_path / "mlflow.db").is_file()
    assert (tmp_path / "mlruns").is_dir()


def fail(error, runs):
    with recording(experiment="digits", name="bad", tags={tags.STAGE: "extract"}) as run:
        runs.append(run)
        run.log_metric("before", 1)
        raise error


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (TaskError("task 'x' is unknown."), "FAILED", "task 'x' is unknown."),
        (ValueError("first\nsecond"), "FAILED", "ValueError: first"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(3), "KILLED", "SystemExit: 3"),
    ],
)
def test_an_exception_is_recorded_and_goes_on(error, status, reason):
    runs = []
    with pytest.raises(type(error)):
        fail(error, runs)
    found = client().get_run(runs[0].run_id)
    assert found.info.status == status
    assert found.data.tags[tags.REASON] == reason
    assert found.data.metrics == {"before": 1.0}


def test_undefined_values_are_counted_not_logged():
    with recording(experiment="digits", name="x") as run:
        run.log_metric("auroc", float("nan"), step=0)
        run.log_metric("auroc", float("inf"), step=1)
        run.log_metric("auroc", 0.5, step=2)
    found = client().get_run(run.run_id)
    assert len(client().get_metric_history(run.run_id, "auroc")) == 1
    assert json.loads(found.data.tags[tags.UNDEFINED]) == {"auroc": 2}


def test_what_is_too_long_for_mlflow_is_kept_whole_among_the_artifacts():
    long = "ä" * 9000
    with recording(experiment="digits", name="x", params={"task.samples": long}, note=long) as run:
        run.set_tags({"mine": long})
    found = client().get_run(run.run_id)
    assert found.data.params["task.samples"].endswith(
        "all of them in the artifact params/task.samples.txt)"
    )
    tracker = Tracker()
    held = tracker.get(run.run_id)
    for name in ("params/task.samples.txt", "notes/note.txt", "tags/mine.txt"):
        assert tracker.download(held, name).read_text() == long


def test_many_values_of_all_kinds_arrive_in_several_batches():
    params = {f"p{i:03}": "x" * 5900 for i in range(150)}
    with recording(experiment="digits", name="x", params=params) as run:
        for step in range(1200):
            run.log_metrics({"a": step, "b": -step}, step=step)
    found = client().get_run(run.run_id)
    assert found.data.params == params
    assert [m.value for m in client().get_metric_history(run.run_id, "b")] == [
        -float(s) for s in range(1200)
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("f1/class a", "f1/class a"),
        ("f1,ä(%)", "f1_ä___"),
        ("/rooted", "_rooted"),
        ("a//b", "a__b"),
        ("../up", "___up"),
        ("", "_"),
    ],
)
def test_any_name_becomes_one_that_mlflow_takes(name, key):
    assert metric_key(name) == key
    with recording(experiment="digits", name="x", params={name: 1}) as run:
        run.log_metric(name, 1.0)
    assert list(client().get_run(run.run_id).data.metrics) == [key]


def test_a_tag_outside_the_table_is_refused():
    with (
        pytest.raises(TrackingError, match=r"backbench\.sead.*Did you mean 'backbench\.seed'"),
        recording(experiment="digits", name="x", tags={"backbench.sead": 1}),
    ):
        pass


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_an_artifact_cannot_leave_its_run(name):
    with (
        recording(experiment="digits", name="x") as run,
        pytest.raises(TrackingError, match="leaves"),
    ):
        run.artifact(name)


def test_a_run_inside_another_is_its_child():
    with recording(experiment="digits", name="main") as parent:
        children = [record_one(f"child {i}") for i in range(2)]
    for child in children:
        found = client().get_run(child.run_id)
        assert found.data.tags["mlflow.parentRunId"] == parent.run_id
        assert found.data.tags[tags.PARENT] == parent.identity


def test_the_run_that_mlflow_run_began_is_continued_once(monkeypatch):
    """`mlflow run` logs the options as params first, and sets run and experiment by id."""
    experiment = client().create_experiment("theirs")
    begun = client().create_run(experiment, tags={"mlflow.project.entryPoint": "main"})
    client().log_param(begun.info.run_id, "backbone", "clip")
    client().log_param(begun.info.run_id, "seed", "all")
    monkeypatch.setenv("MLFLOW_RUN_ID", begun.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    params = {"backbone": "clip", "seed": "42,123", "task.lr": 1}
    with recording(experiment="digits", name="main", params=params, adopt=True) as main:
        assert main.run_id == begun.info.run_id
        child = record_one("child", adopt=True)
    later = record_one("later", adopt=True)
    found = client().get_run(begun.info.run_id)
    assert found.info.run_name == "main"
    assert found.info.status == "FINISHED"
    assert found.data.params == {
        "backbone": "clip",
        "seed": "all",
        "resolved.seed": "42,123",
        "task.lr": "1",
    }
    assert found.data.tags["mlflow.project.entryPoint"] == "main"
    held = client().get_run(child.run_id)
    assert held.data.tags["mlflow.parentRunId"] == begun.info.run_id
    assert held.info.experiment_id == experiment
    assert later.run_id not in (begun.info.run_id, child.run_id)


def test_mlflow_experiment_name_wins_over_the_tasks(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    run = record_one()
    assert client().get_experiment(run.experiment_id).name == "mine"


def test_a_deleted_experiment_is_told_and_the_run_is_kept(spool, monkeypatch):
    gone = client().create_experiment("digits")
    client().delete_experiment(gone)
    with pytest.raises(TrackingError, match=f"restore -x {gone}.*kept in"):
        record_one()
    client().restore_experiment(gone)
    from backbench.runs.sync import sync

    assert len(sync(console=Console(quiet=True)).sent) == 1


def leak(secret, uri):
    """Put a secret and a URI with a password wherever a run takes text, then fail with both."""
    with recording(
        experiment="digits",
        name=f"x {secret}",
        tags={tags.STAGE: uri},
        params={"p": secret, "long": (secret + uri) * 500},
        note=f"see {uri} and hunter2hunter2",
    ) as run:
        run.dataset("d", "1", uri)
        run.artifact("environment.json").write_text(json.dumps(environment()))
        raise ValueError(f"refused {secret} at {uri}")


def test_no_secret_is_written(spool, monkeypatch, capfd):
    """Secrets planted in the environment and in URIs, in everything a run can hold."""
    secret = 'wJalrXUtnFEMI/K7MDENG"quote'
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    uri = "https://me:sesame-open@server/x"
    with pytest.raises(ValueError, match="refused"):
        leak(secret, uri)
    written = "\n".join(p.read_text() for p in spool.rglob("*") if p.is_file())
    assert "refused ***" in written
    written += "".join(capfd.readouterr())
    for planted in (secret, json.dumps(secret)[1:-1], "hunter2hunter2", "sesame-open"):
        assert planted not in written


def test_the_environment_names_versions_and_git_state():
    told = environment()
    assert re.fullmatch(r"3\.\d+\.\d+", told["python"])
    assert told["packages"]["numpy"]
    assert set(told["git"]) == {"commit", "dirty"}


def test_a_run_with_44_folds_costs_less_than_a_second():
    record_one()  # imports and database
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        with recording(experiment="digits", name="x") as run:
            for fold in range(44):
                run.log_metrics({f"by_fold/m{i}": fold / 44 for i in range(8)}, step=fold)
            run.artifact("predictions.parquet").write_bytes(b"x" * 100_000)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1


def test_a_spool_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BACKBENCH_SPOOL", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="BACKBENCH_SPOOL"), recording(experiment="d", name="x"):
        pytest.fail("the work was begun")


def test_a_record_reads_back_as_it_was_written(tmp_path):
    record = Record(
        identity="i",
        experiment="e",
        name="n",
        start=1,
        end=2,
        status="FINISHED",
        dataset=Dataset("d", "x", "y"),
        params={"a": "b"},
    )
    record.write(tmp_path)
    assert Record.read(tmp_path) == record


def test_a_foreign_record_is_refused(tmp_path):
    (tmp_path / "record.json").write_text('{"format": 99}')
    with pytest.raises(StorageError, match="not a run record of this version"):
        Record.read(tmp_path)


def test_importing_runs_does_not_import_mlflow():
    code = "import sys, backbench.runs, backbench.runs.sync; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_line_about_the_spool_is_told_once(monkeypatch):
    """A chain of runs waits for a dead server once."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "0.6")
    told = Console(record=True, file=io.StringIO())
    started = time.monotonic()
    runs = [record_one(console=told) for _ in range(3)]
    assert time.monotonic() - started < 10
    assert all(run.run_id == f"spool:{run.identity}" for run in runs)
    assert told.export_text().count("backbench sync") == 1


@pytest.mark.parametrize("never", ["http://127.0.0.1:9", "ftp://x"])
def test_silence_is_for_one_server_only(monkeypatch, never):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", never)
    connection.silence.begin()
    assert connection.silence.holds()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert not connection.silence.holds()
