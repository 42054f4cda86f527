"""One evaluate run as the board reads it; the pipeline fills it from the tracker."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backbench.leaderboard.guard import Guard
from backbench.metrics import Estimate, Predictions
from backbench.tasks import Protocol, Task
from backbench.tasks.protocol import flatten

COSTS: Mapping[str, tuple[str, bool]] = {
    "parameters": ("parameters", False),
    "dim": ("embedding width", False),
    "images_per_second": ("images a second", True),
    "train_seconds": ("seconds to train the heads", False),
}
"""What a row costs: key of `Entry.cost` -> (words, more is better)."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One evaluate run.

    Attributes:
        run_id: of the evaluate run.
        name: what people call the row, e.g. `clip` or `clip · finetuned.pt`.
        backbone, checkpoint, head, variant: what was evaluated; `variant` is empty for the task.
        seeds: of training.
        complete: every unit is there.
        missing: the units that are not, in words (`fold 7, seed 123`).
        unreadable: why the run has no predictions although it is complete, as a sentence.
        protocol: everything that has to be equal for two entries to be compared.
        predictions: out-of-fold; None where the run is too incomplete to have them, or they
            cannot be read.
        cost: keys of `COSTS`; any may be absent.
        estimates: metric -> value with interval, as `summarise` gave them by its defaults; what is
            not here the board computes.
        guards: those that fired when the run was evaluated.
        lineage: what the row was made from; a value is text, a number, a list or a mapping.
            Keys with meaning to the board: `train_runs`, `extract_runs` (run ids), `features`
            (key), `weights` (sha256), `representation`, `transform`, `manifest`, `licence`,
            `git`; `links` maps a run id to its page. Other keys are shown as they are.
        link: page of the run in the tracking server.
        task_version, task_hash: of the task file the run was made with.
        varied: dotted fields that the variant names (`variant_fields(task, variant)`).
        started: start of the run, milliseconds since 1970; the later of two equal runs counts.
    """

    run_id: str
    name: str
    backbone: str
    checkpoint: str
    head: str
    variant: str
    seeds: tuple[int, ...]
    complete: bool
    missing: tuple[str, ...]
    protocol: Protocol
    predictions: Predictions | None
    cost: Mapping[str, float] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    link: str | None = None
    task_version: int = 1
    task_hash: str = ""
    varied: tuple[str, ...] = ()
    started: int = 0
    unreadable: str = ""


def variant_fields(task: Task, variant: str) -> tuple[str, ...]:
    """The dotted protocol fields that a variant of the task names; none for the task itself.

    A variant that names the kind of head changes the whole head, since each kind has settings of
    its own.
    """
    named = tuple(flatten(task.variants.get(variant, {})))
    return ("head",) if "head.kind" in named else named


def plain(text: str) -> str:
    """A protocol value without the quotes of its JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
