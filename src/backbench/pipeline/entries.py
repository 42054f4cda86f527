"""Evaluate runs as the board reads them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from backbench.leaderboard import Entry, Guard, variant_fields
from backbench.metrics import Predictions
from backbench.runs import Run, Tracker, tags
from backbench.tasks import Protocol, Task

EVALUATE = "evaluate"


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
