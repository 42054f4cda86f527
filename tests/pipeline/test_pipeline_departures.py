"""Where a board departs from the task file is told of any run there is."""

from pathlib import Path
from types import SimpleNamespace

from backbench.pipeline.departures import departures
from backbench.pipeline.question import resolve_task
from backbench.tasks import Protocol

TASK = """
name = "t"
version = 1
samples = "s.csv"
[head]
kind = "linear"
[variants.slow]
head.epochs = 500
folds.n_splits = 3
"""


def test_a_variant_whose_head_is_another_now_is_told_with_the_defaults_of_that(
    tmp_path: Path,
) -> None:
    """Such a run is refused today; the file may also have changed since it was made."""
    path = tmp_path / "t.toml"
    path.write_text(TASK)
    task = resolve_task(str(path), head="ridge", overrides=["folds.n_splits=3"])
    row = SimpleNamespace(entry=SimpleNamespace(variant="slow", head="ridge", varied=()))
    board = SimpleNamespace(
        rows=[row], compare="backbones", protocol=Protocol.stated(task), task=task
    )
    assert departures(board, resolve_task(str(path)), str(path)) == ("variant slow", "head ridge")
