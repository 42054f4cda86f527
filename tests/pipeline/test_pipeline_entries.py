"""Runs that are damaged are listed with the reason; a server that is gone is no fault of theirs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backbench.errors import TrackingError, UnreachableError
from backbench.metrics import Predictions
from backbench.pipeline.entries import _had, read_entry
from backbench.runs import Run, tags
from backbench.tasks import load_task


class Store:
    """A tracker whose artifacts fail with an error, and whose server answers or not."""

    def __init__(self, error: TrackingError, *, answers: bool) -> None:
        self.error, self.answers = error, answers

    def download(self, run: Run, path: str) -> Path:
        raise self.error

    def get(self, run_id: str) -> str:
        if not self.answers:
            raise UnreachableError("nobody answers")
        return run_id


RUN = Run("a" * 32, "evaluate clip", "digits", "FINISHED", 0, {}, {}, {}, "server")


@pytest.mark.parametrize("error", [TrackingError("404"), UnreachableError("500 of the bucket")])
def test_a_file_that_cannot_be_had_is_the_fault_of_its_run(error: TrackingError) -> None:
    assert _had(Store(error, answers=True), RUN, "predictions.parquet") is error


def test_a_server_that_is_gone_is_nobody_s_fault() -> None:
    gone = Store(UnreachableError("timed out"), answers=False)
    with pytest.raises(UnreachableError, match="nobody answers"):
        _had(gone, RUN, "predictions.parquet")


SAID = {"protocol": {}, "missing": [], "cost": {}, "guards": [], "estimates": []}
SAID |= {"lineage": {"train_runs": []}}
TAGS = dict.fromkeys((tags.BACKBONE, tags.CHECKPOINT, tags.HEAD, tags.TASK_HASH), "x")
TAGS |= {tags.VARIANT: "", tags.SEED: "1", tags.COMPLETE: "true", tags.TASK_VERSION: "1"}


class Folder:
    """A tracker of one run, whose artifacts lie in a folder."""

    def __init__(self, folder: Path, said: object) -> None:
        self.folder, self.run = folder, Run(**{**vars(RUN), "tags": TAGS})
        p = np.full((1, 2, 2), 0.5)
        made = Predictions(["a", "b"], ["a", "b"], [0, 0], [0, 1], p, (1,), ("n", "y"))
        made.to_frame().to_parquet(folder / "predictions.parquet")
        (folder / "summary.json").write_text(json.dumps(said))

    def download(self, run: Run, path: str) -> Path:
        return self.folder / path

    def link(self, run: Run) -> None:
        return None

    def read(self) -> str:
        return read_entry(load_task("digits"), self.run, self).unreadable


def test_a_run_that_is_whole_is_readable(tmp_path: Path) -> None:
    assert Folder(tmp_path, SAID).read() == ""


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("gone", [True, False])
def test_a_summary_without_a_part_is_told(tmp_path: Path, name: str, gone: bool) -> None:
    said = {k: v for k, v in SAID.items() if k != name} if gone else SAID | {name: None}
    assert "summary.json is no summary" in Folder(tmp_path, said).read()


@pytest.mark.parametrize(
    ("column", "words"), [("seed", "rows without seed"), ("p_0", "is no predictions (ValueError")]
)
def test_predictions_with_other_values_are_told(tmp_path: Path, column: str, words: str) -> None:
    folder = Folder(tmp_path, SAID)
    path = folder.download(folder.run, "predictions.parquet")
    frame = pd.read_parquet(path)
    frame[column] = pd.array([None, 1], "Int64") if column == "seed" else ["half", "half"]
    frame.to_parquet(path)
    assert words in folder.read()


def test_files_that_are_gone_since_they_were_found_are_told(tmp_path: Path) -> None:
    """Of a run in the spool, which another process sends."""
    folder = Folder(tmp_path, SAID)
    for path in tmp_path.iterdir():
        path.unlink()
    assert folder.read().count("FileNotFoundError") == 2
