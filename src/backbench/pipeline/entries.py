"""Evaluate runs as the board reads them."""

import json
import math
from dataclasses import replace
from typing import Any

from backbench.backbones import called
from backbench.leaderboard import Entry, Guard, variant_fields
from backbench.metrics import Estimate, Predictions
from backbench.pipeline.summary import PREDICTIONS, SUMMARY
from backbench.runs import Run, Tracker, tags
from backbench.tasks import Protocol, Task

EVALUATE = "evaluate"
_MAY_BE_NULL = ("value", "low", "high", "seed_std")


def read_entries(task: Task) -> list[Entry]:
    """Every evaluate run of a task, newest first."""
    tracker = Tracker()
    runs = tracker.find({tags.STAGE: EVALUATE, tags.TASK: task.name})
    tracker.fetch(runs, [SUMMARY, PREDICTIONS])
    said = Predictions.read_all(tracker.download(run, PREDICTIONS) for run in runs)
    return [_entry(task, run, tracker, its) for run, its in zip(runs, said, strict=True)]


def read_entry(task: Task, run: Run, tracker: Tracker) -> Entry:
    """One evaluate run as the board reads it."""
    return _entry(task, run, tracker, Predictions.read(tracker.download(run, PREDICTIONS)))


def _entry(task: Task, run: Run, tracker: Tracker, predictions: Predictions) -> Entry:
    about = json.loads(tracker.download(run, SUMMARY).read_text())
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
        protocol=Protocol(about["protocol"]),
        predictions=predictions,
        cost=about["cost"],
        guards=tuple(Guard.from_dict(one) for one in about["guards"]),
        lineage=about["lineage"] | {"links": _links(tracker, run, about["lineage"])},
        estimates={one["metric"]: _estimate(one) for one in about["estimates"]},
        link=tracker.link(run),
        task_version=int(run.tags[tags.TASK_VERSION]),
        task_hash=run.tags[tags.TASK_HASH],
        varied=variant_fields(task, variant),
        finished=run.start,
    )


def row_name(run: Run) -> str:
    """What people call the backbone and checkpoint of a run."""
    return called(run.tags[tags.BACKBONE], run.tags[tags.CHECKPOINT])


def _estimate(written: dict[str, Any]) -> Estimate:
    """From JSON, in which what is undefined is null."""
    numbers = {name: math.nan for name in _MAY_BE_NULL if written[name] is None}
    return Estimate(**(written | numbers | {"per_seed": tuple(written["per_seed"])}))


def _links(tracker: Tracker, run: Run, lineage: dict[str, Any]) -> dict[str, str]:
    """Pages of the runs it was made from, which are in the same experiment."""
    made_from = [*lineage["train_runs"], *lineage["extract_runs"]]
    pages = {one: tracker.link(replace(run, run_id=one)) for one in made_from}
    return {one: page for one, page in pages.items() if page}
