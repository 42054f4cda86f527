"""Evaluate runs as the board reads them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from backbench.backbones import called
from backbench.errors import BackbenchError, MetricError, TrackingError, UnreachableError
from backbench.leaderboard import Entry, variant_fields
from backbench.metrics import Predictions
from backbench.pipeline.out_of_fold import PREDICTIONS
from backbench.pipeline.summary import SUMMARY, read_summary
from backbench.runs import Run, Tracker, tags
from backbench.tasks import Protocol, Task

EVALUATE = "evaluate"
_DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError)
"""What a file raises that is gone since it was found, or holds something else than it should."""


def read_entries(task: Task) -> list[Entry]:
    """Every evaluate run of a task, newest first; of one that cannot be read, the reason."""
    tracker = Tracker()
    runs = tracker.find({tags.STAGE: EVALUATE, tags.TASK: task.name})
    tracker.fetch(runs, [SUMMARY, PREDICTIONS])
    said = _predictions(tracker, runs)
    return [_entry(task, run, tracker, its) for run, its in zip(runs, said, strict=True)]


def read_entry(task: Task, run: Run, tracker: Tracker) -> Entry:
    """One evaluate run as the board reads it."""
    (said,) = _predictions(tracker, [run])
    return _entry(task, run, tracker, said)


def _predictions(tracker: Tracker, runs: Sequence[Run]) -> list[Predictions | BackbenchError]:
    """Those of each run, or why they cannot be read."""
    paths = [_had(tracker, run, PREDICTIONS) for run in runs]
    there = [path for path in paths if isinstance(path, Path)]
    try:
        said: list[Predictions | BackbenchError] = [*Predictions.read_all(there)]
    except (MetricError, *_DAMAGED):  # of which file, it is known once each is read alone
        said = [_read(path) for path in there]
    read = iter(said)
    return [next(read) if isinstance(path, Path) else path for path in paths]


def _had(tracker: Tracker, run: Run, name: str) -> Path | BackbenchError:
    """A file of a run, or why it cannot be had: no other run is to suffer from that."""
    try:
        return tracker.download(run, name)
    except UnreachableError as error:
        tracker.get(run.run_id)  # raises where it is the server and not this file
        return error
    except TrackingError as error:
        return error


def _read(path: Path) -> Predictions | BackbenchError:
    try:
        return Predictions.read(path)
    except MetricError as error:
        return error
    except _DAMAGED as error:
        return _damaged(path, "no predictions", error)


def _damaged(path: Path, what: str, error: Exception) -> TrackingError:
    return TrackingError(f"{path} is {what} ({type(error).__name__}: {error}).")


def _summary(tracker: Tracker, run: Run) -> dict[str, Any] | BackbenchError:
    """Fields of an entry that the summary tells, or why it cannot be read."""
    path = _had(tracker, run, SUMMARY)
    if isinstance(path, BackbenchError):
        return path
    try:
        return _told(tracker, run, read_summary(path))
    except _DAMAGED as error:
        return _damaged(path, "no summary", error)


def _told(tracker: Tracker, run: Run, summary: dict[str, Any]) -> dict[str, Any]:
    lineage = summary["lineage"]
    return {
        "missing": tuple(summary["missing"]),
        "protocol": Protocol({**summary["protocol"]}),
        "cost": {**summary["cost"]},
        "guards": tuple(summary["guards"]),
        "lineage": {**lineage, "links": _links(tracker, run, lineage)},
        "estimates": {one.metric: one for one in summary["estimates"]},
    }


def _nothing(run: Run) -> dict[str, Any]:
    """What is known without a summary: the settings are params too."""
    fields = {k.removeprefix("task."): v for k, v in run.params.items() if k.startswith("task.")}
    return {"missing": (), "protocol": Protocol(fields)}


def _entry(
    task: Task, run: Run, tracker: Tracker, predictions: Predictions | BackbenchError
) -> Entry:
    summary = _summary(tracker, run)
    damage = [one for one in (predictions, summary) if isinstance(one, BackbenchError)]
    told = _nothing(run) if isinstance(summary, BackbenchError) else summary
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
        predictions=None if damage else cast("Predictions", predictions),
        link=tracker.link(run),
        task_version=int(run.tags[tags.TASK_VERSION]),
        task_hash=run.tags[tags.TASK_HASH],
        varied=variant_fields(task, variant),
        started=run.start,
        unreadable=" ".join(map(str, damage)),
        **told,
    )


def row_name(run: Run) -> str:
    """What people call the backbone and checkpoint of a run."""
    return called(run.tags[tags.BACKBONE], run.tags[tags.CHECKPOINT])


def _links(tracker: Tracker, run: Run, lineage: dict[str, Any]) -> dict[str, str]:
    """Pages of the runs it was made from, which are in the same experiment."""
    made_from = [*lineage.get("train_runs", ()), *lineage.get("extract_runs", ())]
    pages = {one: tracker.link(replace(run, run_id=one)) for one in made_from}
    return {one: page for one, page in pages.items() if page}
