import pytest

from backbench.errors import TrackingError
from backbench.runs import Tracker, artifacts, recording, tags
from backbench.runs.sync import sync


def record(name="x", experiment="digits", **given):
    with recording(experiment=experiment, name=name, tags={tags.STAGE: "evaluate"} | given) as run:
        run.artifact("tables/per_class.csv").write_text("a,b")
        run.artifact("confusion.json").write_text("{}")
    return run


def test_runs_are_found_by_tags_newest_first_over_all_experiments():
    first = record("first", **{tags.SEED: 1})
    second = record("second", "other", **{tags.SEED: 1})
    record("third", **{tags.SEED: 2})
    found = Tracker().find({tags.STAGE: "evaluate", tags.SEED: "1"})
    assert [run.run_id for run in found] == [second.run_id, first.run_id]
    assert [run.experiment for run in found] == ["other", "digits"]
    assert [run.name for run in Tracker().find({tags.STAGE: "evaluate"}, limit=1)] == ["third"]


@pytest.mark.parametrize("value", ["it's", 'a "b"', "both ' and \"", "", "x = 'y' AND z", "%"])
def test_any_value_of_a_tag_can_be_asked_for(value):
    run = record(**{tags.CHECKPOINT: value})
    record(**{tags.CHECKPOINT: "another"})
    assert [r.run_id for r in Tracker().find({tags.CHECKPOINT: value})] == [run.run_id]


def test_failed_and_running_runs_are_not_found_unless_asked_for():
    from mlflow import MlflowClient

    with pytest.raises(ValueError, match="x"):
        _fail()
    client = MlflowClient()
    experiment = client.get_experiment_by_name("digits").experiment_id
    client.create_run(experiment, tags={tags.STAGE: "evaluate"})
    assert Tracker().find({tags.STAGE: "evaluate"}) == []
    (failed,) = Tracker().find({tags.STAGE: "evaluate"}, status=None)
    assert failed.status == "FAILED"


def _fail():
    with recording(experiment="digits", name="bad", tags={tags.STAGE: "evaluate"}):
        raise ValueError("x")


def test_more_runs_than_a_page_are_all_found(monkeypatch):
    monkeypatch.setattr("backbench.runs.tracker.PAGE", 2)
    names = [record(f"{i}").run_id for i in range(5)]
    assert {run.run_id for run in Tracker().find({tags.STAGE: "evaluate"})} == set(names)
    assert len(Tracker().find({tags.STAGE: "evaluate"}, limit=3)) == 3


def test_artifacts_of_a_local_store_are_read_where_they_are():
    run = Tracker().get(record().run_id)
    path = Tracker().download(run, "tables/per_class.csv")
    assert path.read_text() == "a,b"
    assert "mlruns" in path.parts
    assert Tracker().artifacts(run) == ["confusion.json"]
    assert Tracker().artifacts(run, "tables") == ["tables/per_class.csv"]


def test_artifacts_of_a_server_are_fetched_once(server, tmp_path):
    run = Tracker().get(record().run_id)
    tracker = Tracker()
    path = tracker.download(run, "tables")
    assert path == tmp_path / "home" / "artifacts" / run.run_id / "tables"
    assert (path / "per_class.csv").read_text() == "a,b"
    assert tracker.link(run) == f"{server.uri}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    (path / "per_class.csv").write_text("kept")
    assert tracker.download(run, "tables/per_class.csv").read_text() == "kept"
    assert tracker.artifacts(run) == ["confusion.json"]
    with pytest.raises(TrackingError, match=r"none\.txt"):
        tracker.download(run, "none.txt")


def test_files_of_many_runs_are_fetched_at_once_and_only_where_they_are_missing(
    server, monkeypatch
):
    tracker, files = Tracker(), ["tables/per_class.csv", "confusion.json"]
    runs = [tracker.get(record(f"{i}").run_id) for i in range(3)]
    tracker.download(runs[1], files[0])
    fetched, fetch = [], artifacts._fetch
    monkeypatch.setattr(artifacts, "_fetch", lambda *f: fetched.append(f[:2]) or fetch(*f))
    tracker.fetch(runs, files)
    assert len(fetched) == 5
    tracker.fetch(runs, files)
    assert [tracker.download(run, files[0]).read_text() for run in runs] == ["a,b"] * 3
    assert len(fetched) == 5


def test_a_file_that_a_run_does_not_have_keeps_no_other_from_being_fetched(server):
    tracker = Tracker()
    runs = [tracker.get(record(f"{i}").run_id) for i in range(2)]
    tracker.fetch(runs, ["none.txt", "confusion.json"])
    assert all(artifacts._kept(run, "confusion.json").is_file() for run in runs)
    with pytest.raises(TrackingError, match=r"none\.txt"):
        tracker.download(runs[0], "none.txt")


def test_an_artifact_that_is_not_there_is_named():
    run = Tracker().get(record().run_id)
    with pytest.raises(TrackingError, match=r"no artifact 'none\.txt'"):
        Tracker().download(run, "none.txt")


def test_an_unknown_run_is_an_error():
    with pytest.raises(TrackingError):
        Tracker().get("0" * 32)
    with pytest.raises(TrackingError, match="neither in the spool nor on the server"):
        Tracker().get("spool:x")


def test_a_run_that_another_process_has_sent_since_is_read_where_it_is_now(monkeypatch):
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    record()
    monkeypatch.delenv("BACKBENCH_OFFLINE")
    tracker = Tracker()
    (waiting,) = tracker.find({tags.STAGE: "evaluate"})
    assert tracker.artifacts(waiting) == ["confusion.json"]
    assert sync().left == 0
    tracker.fetch([waiting], ["confusion.json"])
    assert tracker.download(waiting, "tables/per_class.csv").read_text() == "a,b"
    assert tracker.artifacts(waiting) == ["confusion.json"]
