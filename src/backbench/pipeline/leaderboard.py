"""leaderboard: rank what is comparable and complete, write the board, move the champion."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from backbench.errors import BoardError
from backbench.leaderboard import Board, Entry, Guard, build_board, variant_fields
from backbench.leaderboard.publish import write_board
from backbench.leaderboard.tables import print_board, to_markdown
from backbench.metrics import Predictions
from backbench.metrics.power import power as estimate_power
from backbench.pipeline.champion import Registration, move_champion
from backbench.pipeline.console import console, say
from backbench.pipeline.question import resolve_task
from backbench.pipeline.study import task_hash
from backbench.runs import Run, Tracker, recording, tags
from backbench.tasks import Protocol, Task

STAGE = "leaderboard"
EVALUATE = "evaluate"
Axis = Literal["backbones", "variants", "heads"]


def leaderboard(
    source: str,
    *,
    compare: Axis = "backbones",
    registration: Registration | None = None,
    power: bool = False,
    out: str = "board",
) -> Board:
    """Build the board of a task from its evaluate runs, print it and record it.

    Args:
        source: the task, a packaged name or a path.
        compare: what may differ between two rows.
        registration: whether and how the champion may move; by default as the evidence says.
        power: also print what would separate rows that are tied.
        out: folder for `leaderboard.csv`, `.md`, `.png` and `.html`.

    Raises:
        BoardError: nothing has been evaluated.
        TrackingError: the runs cannot be read.
    """
    task = resolve_task(source)
    entries = read_entries(task)
    if not entries:
        raise BoardError(
            f"no evaluate run of task '{task.name}' was found; make some first, for example: "
            f"backbench run --task {source} --backbones pixels,efficientnet_lite0"
        )
    board = build_board(entries, task, compare=compare, task_hash=task_hash(task))
    _show(board, power=power)
    _record(board, Path(out))
    if compare == "backbones":
        move_champion(board, registration or Registration())
    return board


def read_entries(task: Task) -> list[Entry]:
    """Every evaluate run of a task, newest first."""
    tracker = Tracker()
    runs = tracker.find({tags.STAGE: EVALUATE, tags.TASK: task.name})
    return [read_entry(task, run, tracker) for run in runs]


def read_entry(task: Task, run: Run, tracker: Tracker) -> Entry:
    """One evaluate run as the board reads it."""
    about = _json(tracker, run, "entry.json")
    variant = run.tags[tags.VARIANT]
    return Entry(
        run_id=run.run_id,
        name=row_name(run),
        backbone=run.tags[tags.BACKBONE],
        checkpoint=run.tags[tags.CHECKPOINT],
        head=run.tags[tags.HEAD],
        variant=variant,
        seeds=tuple(int(seed) for seed in run.tags[tags.SEED].split(",")),
        complete=run.tags[tags.COMPLETE] == "true",
        missing=tuple(about["missing"]),
        protocol=Protocol(_json(tracker, run, "protocol.json")),
        predictions=Predictions.from_frame(
            pd.read_parquet(tracker.download(run, "predictions.parquet"))
        ),
        cost=about["cost"],
        guards=tuple(Guard.from_dict(one) for one in _json(tracker, run, "guards.json")),
        lineage=about["lineage"],
        link=tracker.link(run),
        task_version=int(run.tags[tags.TASK_VERSION]),
        task_hash=run.tags[tags.TASK_HASH],
        varied=variant_fields(task, variant),
        finished=run.start,
    )


def row_name(run: Run) -> str:
    """`clip`, or `clip finetuned.pt` where the checkpoint is not the published one."""
    backbone, checkpoint = run.tags[tags.BACKBONE], run.tags[tags.CHECKPOINT]
    return backbone if checkpoint == "default" else f"{backbone} {Path(checkpoint).name}"


def _json(tracker: Tracker, run: Run, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads(tracker.download(run, name).read_text())


def _show(board: Board, *, power: bool) -> None:
    console.print()
    print_board(board, console)
    if power:
        for line in _what_would_separate(board):
            say(line)


def _what_would_separate(board: Board) -> Iterator[str]:
    """For each two neighbouring rows that are tied, what more data would do."""
    for upper, lower in pairwise(board.rows):
        if board.comparison(upper.name, lower.name).verdict != "not separated":
            continue
        found = estimate_power(
            upper.predictions,
            lower.predictions,
            board.primary,
            rope=board.task.metrics.rope,
            family=max(1, len(board.pairs)),
        )
        groups = found.more_groups if found.more_groups is not None else found.why_not_groups
        seeds = found.more_seeds if found.more_seeds is not None else found.why_not_seeds
        yield (
            f"power     {upper.name} and {lower.name} (difference {found.difference:+.4f}): "
            f"more groups: {groups}; more seeds: {seeds}; "
            f"detectable now: {found.detectable:.4f}"
        )


def _record(board: Board, out: Path) -> None:
    task = board.task
    with recording(
        experiment=task.name,
        name=f"leaderboard {task.name}",
        tags={
            tags.STAGE: STAGE,
            tags.TASK: task.name,
            tags.TASK_VERSION: task.version,
            tags.PROTOCOL: board.protocol.hash if board.protocol else None,
        },
        params={"compare": board.compare, "primary": board.primary},
        note=to_markdown(board),
        adopt=True,
    ) as run:
        for path in write_board(board, out):
            run.attach(path)
        run.log_metrics({"ranked": len(board.rows), "unranked": len(board.unranked)})
    say(f"board     {out}/leaderboard.html (also .csv, .md, .png; and in run {run.run_id})")
