"""A project's folder that was moved or copied is told before its old place is written to."""

import shutil
from pathlib import Path

import pytest

from backbench.errors import TrackingError
from backbench.runs import Tracker, connection, recording, tags
from backbench.runs.place import _same
from empty_store import copy_database


def record(experiment: str = "digits") -> None:
    with recording(experiment=experiment, name="x", tags={tags.STAGE: "extract"}) as run:
        run.artifact("a.txt").write_text("a")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A folder with a run in the database that plain MLflow makes there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folder = tmp_path / "old"
    folder.mkdir()
    copy_database(empty_database, folder)
    enter(folder, monkeypatch)
    record()
    return folder


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work there, as a new process would."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    connection._client.cache_clear()


def test_a_moved_folder_is_told_and_the_old_one_is_not_made_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = project.with_name("new")
    project.rename(new)
    enter(new, monkeypatch)
    words = rf"in {project}/mlruns/1, but they are in {new}/mlruns/1: the folder was moved\."
    for refused in (record, lambda: Tracker().find({})):
        with pytest.raises(TrackingError, match=rf"{words} .*\(ln -s {new} {project}\)"):
            refused()
    assert not project.exists()


def test_its_cure_works(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = project.with_name("new")
    project.rename(new)
    project.symlink_to(new)
    enter(new, monkeypatch)
    (run,) = Tracker().find({})
    assert Tracker().download(run, "a.txt").read_text() == "a"


@pytest.mark.parametrize("name", ["study#1", "a study", "étude"])
def test_a_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    copy_database(empty_database, folder)
    enter(folder, monkeypatch)
    record()
    enter(folder, monkeypatch)
    (run,) = Tracker().find({})
    assert Tracker().download(run, "a.txt").read_text() == "a"


def test_one_folder_of_two_names_is_one(tmp_path: Path) -> None:
    """As under two mounts, or with other capitals on some file systems."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert _same(tmp_path / "a", tmp_path / "b")
    assert not _same(tmp_path / "a", tmp_path / "elsewhere")


def test_a_copy_does_not_write_into_the_original(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project.with_name("copy")
    shutil.copytree(project, copy)
    before = sorted(project.rglob("*"))
    enter(copy, monkeypatch)
    with pytest.raises(TrackingError, match=rf"the folder was copied\. Work in {project}, or move"):
        record()
    assert sorted(project.rglob("*")) == before


def test_artifacts_that_are_elsewhere_by_will_are_not_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = project.with_name("elsewhere")
    elsewhere.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/other.db")
    monkeypatch.chdir(elsewhere)
    connection._client.cache_clear()
    record()  # its artifacts are in elsewhere/mlruns/1, and those of mlflow.db in old/mlruns/1
    connection._client.cache_clear()
    record()
    assert len(Tracker().find({})) == 2
    assert len(list((elsewhere / "mlruns" / "1").iterdir())) == 2
