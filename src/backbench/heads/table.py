"""One row a head; the heads themselves, and torch with them, load when one is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backbench.errors import HeadError, unknown
from backbench.files.arrays import Arrays
from backbench.folds import Fold
from backbench.heads import threads
from backbench.heads.settings import (
    KnnSettings,
    LinearSettings,
    LogregSettings,
    MlpSettings,
    RidgeSettings,
    Settings,
    StressSettings,
)
from backbench.heads.unit import Floats, Means, Problem, Progress, Unit, UnitResult, check
from backbench.samples.series import Series
from backbench.tasks.strict import build


@dataclass(frozen=True)
class HeadRow:
    """A head: its settings, and the module whose `train` and `predict` do the work.

    `takes` is what a sample is to it: one row of features, or a series of them. Where units are
    trained `apart`, one after another, those of a seed gain nothing from those of the next.
    """

    settings: type[Settings]
    module: str
    description: str
    takes: Literal["rows", "series"] = "rows"
    apart: bool = False

    def load(self) -> Any:  # noqa: ANN401 - a module with `train` and `predict`
        """The module, imported now."""
        return import_module(self.module)


HEADS: Mapping[str, HeadRow] = {
    "linear": HeadRow(
        LinearSettings, "backbench.heads.linear", "linear probe: AdamW, cosine, early stopping"
    ),
    "logreg": HeadRow(
        LogregSettings, "backbench.heads.logreg", "L2 logistic regression, to tolerance"
    ),
    "ridge": HeadRow(RidgeSettings, "backbench.heads.ridge", "ridge onto +1/-1 targets, exact"),
    "knn": HeadRow(KnnSettings, "backbench.heads.knn", "cosine nearest neighbours"),
    "mlp": HeadRow(MlpSettings, "backbench.heads.mlp", "one hidden layer, dropout, AdamW"),
    "stress": HeadRow(
        StressSettings,
        "backbench.heads.stress",
        "transformer over pictures and measurements at each step",
        takes="series",
        apart=True,
    ),
}


def settings_of(table: Mapping[str, Any]) -> Settings:
    """The settings that a task's `[head]` table asks for, defaults filled in.

    Raises:
        HeadError: an unknown `kind`, or a value out of range.
        TaskError: an unknown field (the nearest is named) or a value of the wrong type.
    """
    row = _row(str(table.get("kind", "linear")))
    given = {key: value for key, value in table.items() if key != "kind"}
    return build(row.settings, given, "head.")


def train(
    table: Mapping[str, Any],
    problem: Problem,
    units: Sequence[Unit],
    *,
    device: str = "cpu",
    memory_budget: int = 2 << 30,
    progress: Progress | None = None,
) -> list[UnitResult]:
    """Train all units of a head together.

    Args:
        table: a task's `[head]` table: `kind` and that head's settings.
        problem: the features and labels that the units share.
        units: folds x seeds, each once, in any order.
        device: where torch computes.
        memory_budget: bytes that training may take beside the features themselves.
        progress: called with (done, total) in steps of equal work.

    Returns:
        One result a unit, in the order of `units`.

    Raises:
        HeadError: settings or inputs that cannot be trained with, or logits that are not finite.
        TaskError: an unknown field in `table`.
    """
    kind = str(table.get("kind", "linear"))
    settings, row = settings_of(table), _row(kind)
    check_takes(kind, problem.series)
    check(problem, units)
    module = row.load()
    with threads.using(1) as cores:
        results: list[UnitResult] = module.train(
            problem,
            units,
            settings,
            means=Means(device, memory_budget, cores if device == "cpu" else 1, progress),
        )
    _check_finite(kind, settings, results)
    return results


@cache
def warm_up(kind: str, device: str = "cpu") -> None:
    """Load and compile what a head needs, once a process: no part of the time it takes to train.

    Raises:
        HeadError: an unknown kind.
    """
    row = _row(kind)
    row.load()
    if row.takes == "rows":
        rng, rows = np.random.default_rng(0), np.arange(96)
        problem = Problem(rng.normal(size=(len(rows), 8)).astype(np.float32), rows % 2, 2)
        fold = Fold(0, "0", rows[:64], rows[64:80], rows[80:])
        train({"kind": kind}, problem, [Unit(fold, 0)], device=device)


def _check_finite(kind: str, settings: Settings, results: Sequence[UnitResult]) -> None:
    cure = "lower head.lr" if hasattr(settings, "lr") else "look at the size of the features"
    for result in results:
        if not (np.isfinite(result.logits).all() and np.isfinite(result.val_logits).all()):
            raise HeadError(
                f"fold {result.unit.fold.name}, seed {result.unit.seed}: the logits of the {kind} "
                f"head are not finite; {cure}."
            )


def predict(
    kind: str, weights: Arrays, X: Floats, series: Series | None = None
) -> NDArray[np.float32]:
    """Logits `[n, C]` of features `[n, D]` under the weights of a trained unit.

    Where a head takes series, X `[P, D]` is of the pictures, and there are logits of all T steps
    of all N samples `[N * T, C]`, samples outermost.

    Raises:
        HeadError: an unknown kind, or features of another width than the weights.
    """
    row = _row(kind)
    check_takes(kind, series)
    given = (X,) if series is None else (X, series)
    logits: NDArray[np.float32] = row.load().predict(weights, *given)
    return logits


def check_takes(kind: str, series: Series | None) -> None:
    """Refuse a head that takes something else than the samples are.

    Raises:
        HeadError: an unknown kind, or the other kind of samples; names the heads that fit.
    """
    row = _row(kind)
    given = "rows" if series is None else "series"
    if row.takes != given:
        fitting = ", ".join(name for name, other in HEADS.items() if other.takes == given)
        raise HeadError(
            f"the {kind} head takes {row.takes}, but the samples are {given}; choose a head that "
            f"takes them: {fitting}."
        )


def _row(kind: str) -> HeadRow:
    if kind not in HEADS:
        raise HeadError(unknown("head", kind, HEADS))
    return HEADS[kind]
