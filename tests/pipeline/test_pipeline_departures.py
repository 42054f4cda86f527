"""Where a board departs from the task file is told of any run there is."""

import shlex
from pathlib import Path
from types import SimpleNamespace

from backbench.pipeline.departures import departures, outdated
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


def test_a_later_run_of_other_pictures_makes_the_rows_outdated(tmp_path: Path) -> None:
    """The rows that were there keep their places, so it has to be said in words."""
    path = tmp_path / "my t.toml"
    path.write_text(TASK)
    own = resolve_task(str(path))
    rows = [entry(*one) for one in (("clip", "default"), ("clip", "a b.pt"), ("pixels", "default"))]

    def said(field: str, started: int) -> str:
        changed = SimpleNamespace(entry=entry("clip", "default", started), fields={field: ("", "")})
        there = [SimpleNamespace(entry=row) for row in rows]
        board = SimpleNamespace(rows=there, unranked=[changed])
        return outdated(board, own, str(path), ["head.lr=1e-2"])

    assert said("samples.fingerprint", 9).startswith("But these rows are of older samples")
    command = said("samples.fingerprint", 9).partition("Run all rows again: ")[2]
    assert shlex.split(command) == [
        *("backbench", "run", "--task", str(path), "--backbones", "clip,clip=a b.pt,pixels"),
        *("--set", "head.lr=1e-2"),
    ]
    assert said("samples.fingerprint", 4) == said("head.lr", 9) == ""


def entry(backbone: str, checkpoint: str, started: int = 5) -> SimpleNamespace:
    return SimpleNamespace(
        name=backbone,
        backbone=backbone,
        checkpoint=checkpoint,
        variant="",
        head="linear",
        started=started,
    )
