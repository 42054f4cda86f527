"""What a head is given and what it gives back, checked at the door."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.files.arrays import Arrays
from backbench.folds import Fold
from backbench.samples.series import ABSENT, Series

Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unit:
    """One training: a fold and a seed."""

    fold: Fold
    seed: int


@dataclass(frozen=True)
class Problem:
    """Features and labels that all units share.

    Attributes:
        X: features `[N, D]`, float16, float32 or float64, may be memory-mapped; of the pictures
            `[P, D]` where samples are series.
        y: class codes `[N]`, int64, from 0.
        classes: C; some may be absent from a training fold.
        folds: how many folds the whole plan has, also when only some are trained. It fixes how
            units lie side by side, so that one fold alone goes through the same arithmetic as
            among all the others. Unknown (0) is a good guess for plans of many folds.
        series: what is known of each sample over time, where samples are series.
    """

    X: Floats
    y: NDArray[np.int64]
    classes: int
    folds: int = 0
    series: Series | None = None


class Means:
    """What training may use, and whom it tells how far it is.

    Attributes:
        device: where torch computes.
        memory: bytes that training may take beside the features.
        workers: blocks of folds that may be worked on at once.
    """

    def __init__(
        self, device: str, memory: int, workers: int, progress: Progress | None = None
    ) -> None:
        self.device, self.memory, self.workers = device, memory, max(1, workers)
        self._progress, self._lock, self._done, self._total = progress, Lock(), 0, 1

    def at_once(self, size: int) -> int:
        """How many blocks of `size` bytes may be worked on at once."""
        return max(1, min(self.workers, self.memory // (2 * size)))

    def expect(self, total: int) -> None:
        """Set how much work there is."""
        self._total = total

    def advance(self, work: int) -> None:
        """Tell that so much work is done; from any thread."""
        with self._lock:
            self._done = min(self._done + work, self._total)
            if self._progress is not None:
                self._progress(self._done, self._total)


@dataclass(frozen=True)
class UnitResult:
    """A trained unit.

    Attributes:
        unit: which one.
        logits: of the test rows `[n_test, C]`, float32; their softmax is the probability that
            everything downstream uses.
        val_logits: of the validation rows `[n_val, C]`, float32.
        chosen: hyperparameters chosen on validation, and the epoch where there is one.
        history: per epoch or per candidate; may be empty.
        weights: all that `predict` needs.
    """

    unit: Unit
    logits: NDArray[np.float32]
    val_logits: NDArray[np.float32]
    chosen: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, list[float]] = field(default_factory=dict)
    weights: Arrays = field(default_factory=dict)


def check(problem: Problem, units: Sequence[Unit]) -> None:
    """Refuse what no head can train on.

    Raises:
        HeadError: shapes that do not fit, labels out of range, no or repeated units, a fold with
            rows that do not exist or are on two sides, or with fewer than two classes to train on.
    """
    _check_shapes(problem)
    if problem.series is not None:
        _check_series(problem.series, problem)
    if not units:
        raise HeadError("no units were given; choose at least one fold and one seed.")
    named = {(unit.fold.index, unit.seed) for unit in units}
    if len(named) < len(units):
        raise HeadError("the same fold and seed were given twice; give every unit once.")
    for fold in {unit.fold.index: unit.fold for unit in units}.values():
        _check_fold(fold, problem)


def _check_shapes(problem: Problem) -> None:
    X, y = problem.X, problem.y
    samples = X.shape[0] if problem.series is None else len(problem.series)
    if X.ndim != 2 or y.shape != (samples,):
        raise HeadError(
            f"features of shape {X.shape} do not fit labels of shape {y.shape}; "
            "give [N, D] features and [N] labels, or N series of pictures with [P, D] features."
        )
    if X.dtype.kind != "f":
        raise HeadError(f"features are {X.dtype}; give float16, float32 or float64.")
    if problem.classes < 2:
        raise HeadError(f"{problem.classes} class cannot be told apart; a task needs 2 or more.")
    _check_codes(y, problem.classes)


def _check_codes(y: NDArray[np.int64], classes: int) -> None:
    if y.size and (y.min() < 0 or y.max() >= classes):
        raise HeadError(
            f"labels go from {y.min()} to {y.max()}, but {classes} classes allow 0 to "
            f"{classes - 1}."
        )


def _check_series(series: Series, problem: Problem) -> None:
    n, steps = len(series), len(series.steps)
    arrays = {
        "days": (series.day, (steps,)),
        "labels": (series.y, (n, steps)),
        "scored steps": (series.scored, (n, steps)),
        "pictures": (series.picture, (n, steps, len(series.views))),
    }
    for name, channel in series.channels.items():
        arrays[f"values of {name}"] = (channel.values, (n, steps, *channel.values.shape[2:3]))
        arrays[f"observations of {name}"] = (channel.observed, (n, steps))
    for what, (array, shape) in arrays.items():
        if array.shape != shape:
            raise HeadError(
                f"the {what} of the series have shape {array.shape}, but {n} samples at {steps} "
                f"steps make {shape}."
            )
    _check_codes(series.y[series.scored], problem.classes)
    if series.picture.size and not ABSENT <= series.picture.min() <= series.picture.max() < len(
        problem.X
    ):
        raise HeadError(
            f"the series name pictures {series.picture.min()} to {series.picture.max()}, but "
            f"there are features of {len(problem.X)}; extract the features of these samples."
        )


def _check_fold(fold: Fold, problem: Problem) -> None:
    rows = np.concatenate([fold.train, fold.val, fold.test])
    if rows.size and (rows.min() < 0 or rows.max() >= len(problem.y)):
        raise HeadError(f"fold {fold.name} names rows outside the {len(problem.y)} samples.")
    if np.unique(rows).size < rows.size:
        raise HeadError(
            f"fold {fold.name} has rows on two sides; train, val and test have to be disjoint."
        )
    labels, series = problem.y[fold.train], problem.series
    if series is not None:
        labels = series.y[fold.train][series.scored[fold.train]]
    present = np.unique(labels)
    if present.size < 2:
        raise HeadError(
            f"fold {fold.name} trains on {present.size} class; use a fold scheme that leaves two "
            "or more classes in training."
        )


def need_validation(units: Sequence[Unit], what: str, cure: str) -> None:
    """Refuse folds without validation rows where something has to be chosen on them."""
    for unit in units:
        if not unit.fold.val.size:
            raise HeadError(
                f"fold {unit.fold.name} has no validation rows, and {what} is chosen on them; "
                f'set folds.validation (for example "next_fold") or {cure}.'
            )
