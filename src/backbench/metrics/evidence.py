"""What a metric is computed from, cut into cells (groups) that a resample can weight.

A metric is written once, as a *kernel*: it reduces the samples to a few sums per group and returns
an evaluator, which gives the metric for any weights of the groups. Weights of one are the metric
itself; the counts of a bootstrap draw are the metric of that draw; zero for one group is a
jackknife value. So a draw costs a small matrix product, not a pass over the samples.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.predictions import Predictions
from backbench.metrics.timeline import Turns

Floats = NDArray[np.float64]
Numbers = NDArray[np.number] | NDArray[np.bool_]
Weights = NDArray[np.floating]
Evaluator = Callable[[Weights], Floats]
"""Weights of the groups `[B, G]` -> metric, averaged over seeds `[B]`; NaN where undefined."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Samples, or scored steps of series, with their cell.

    Attributes:
        y: class codes, int64 `[N]`.
        p: probabilities `[S, N, C]`.
        predicted: most probable class, int64 `[S, N]`.
        fold: int64 `[N]`.
        cell: 0 to `cells` - 1, int64 `[N]`.
        cells: the number of groups, G.
        turns: when series are said to turn, from all of their steps; None without series.
    """

    y: NDArray[np.int64]
    p: NDArray[np.floating]
    predicted: NDArray[np.int64]
    fold: NDArray[np.int64]
    cell: NDArray[np.int64]
    cells: int
    turns: Turns | None = None

    @classmethod
    def of(cls, predictions: Predictions, seed: int | None = None) -> "Evidence":
        """All seeds, or the one at position `seed`, with the groups as cells."""
        chosen = slice(None) if seed is None else slice(seed, seed + 1)
        said, time = predictions.y_pred[chosen], predictions.timeline
        fold, cell = predictions.fold, predictions.group_codes
        rows = slice(None) if time is None else time.scored
        return cls(
            predictions.y_true[rows],
            predictions.probabilities[chosen][:, rows],
            said[:, rows],
            fold[rows],
            cell[rows],
            len(predictions.group_names),
            Turns.of(time, said == 1, fold, cell) if time else None,
        )

    def in_fold(self, fold: int) -> "tuple[Evidence, NDArray[np.int64]]":
        """One fold, its cells numbered anew, and the old number of each new cell."""
        rows = self.fold == fold
        turns = self.turns.in_fold(fold) if self.turns else None
        old = np.unique(np.concatenate([self.cell[rows], turns.cell if turns else self.cell[:0]]))
        part = Evidence(
            self.y[rows],
            self.p[:, rows],
            self.predicted[:, rows],
            self.fold[rows],
            np.searchsorted(old, self.cell[rows]),
            len(old),
            replace(turns, cell=np.searchsorted(old, turns.cell)) if turns else None,
        )
        return part, old

    def cut(self) -> "tuple[Evidence, NDArray[np.int64], NDArray[np.int64]]":
        """The groups cut along the folds; the fold of each new cell, and its old number.

        The cells of a fold follow each other, in the order of their groups.
        """
        turns = self.turns
        fold = np.concatenate([self.fold, turns.fold if turns else self.fold[:0]])
        cell = np.concatenate([self.cell, turns.cell if turns else self.cell[:0]])
        folds, place = np.unique(fold, return_inverse=True)
        codes, new = np.unique(place * self.cells + cell, return_inverse=True)
        samples = len(self.cell)
        moved = replace(turns, cell=new[samples:]) if turns else None
        parts = replace(self, cell=new[:samples], cells=len(codes), turns=moved)
        return parts, folds[codes // self.cells], codes % self.cells

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return int(self.p.shape[2])

    def per_cell(self, column: NDArray[np.int64], columns: int, values: Numbers) -> Floats:
        """Sums of `values` `[N]` by cell and column, float64 `[G, columns]`."""
        flat = np.bincount(
            self.cell * columns + column, weights=values, minlength=self.cells * columns
        )
        return flat.astype(np.float64).reshape(self.cells, columns)


Kernel = Callable[[Evidence], Evaluator]


@dataclass(frozen=True, eq=False)
class OfSums:
    """An evaluator that is a formula of weighted sums over the groups.

    Attributes:
        sums: of each group, `[G]` or `[G, K]` each.
        formula: weighted sums, `[B]` or `[K, B]` each -> metric `[B]`.
    """

    sums: tuple[Numbers, ...]
    formula: Callable[..., Floats]

    def __call__(self, weights: Weights) -> Floats:
        """The metric for weights of the groups `[B, G]`."""
        return self.formula(*(weigh(weights, sums) for sums in self.sums))

    def runs(self, starts: NDArray[np.int64]) -> "list[OfSums]":
        """Of each run of groups on its own, by where the runs start, J of them."""
        cut: list[list[Floats]] = [np.split(sums, starts[1:]) for sums in self.sums]
        return [OfSums(sums, self.formula) for sums in zip(*cut, strict=True)]

    def of_runs(self, starts: NDArray[np.int64]) -> Floats:
        """The metric of each run of groups, all weights one `[J]`."""
        totals = (np.add.reduceat(sums, starts, axis=0).astype(np.float64) for sums in self.sums)
        return self.formula(*(np.ascontiguousarray(total.T) for total in totals))


def weigh(weights: Weights, sums: Numbers) -> Floats:
    """`sums` `[G, K]` for weights `[B, G]`, computed in the weights' precision `[K, B]`."""
    product: Weights = sums.T.astype(weights.dtype) @ weights.T
    return product.astype(np.float64)


def ratio(above: Numbers, below: Numbers) -> Floats:
    """`above / below`, NaN where `below` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan).astype(np.float64)


def mean_defined(values: Floats, axis: int) -> Floats:
    """Mean over the entries that are not NaN; NaN where there is none."""
    defined = ~np.isnan(values)
    if defined.all():
        return np.asarray(total(values, axis) / values.shape[axis])
    return ratio(total(np.where(defined, values, 0), axis), total(defined, axis))


def mean_ratio(above: Numbers, below: Numbers, axis: int) -> Floats:
    """Mean of `above / below` over the entries where `below` is not 0; `above` is 0 there too."""
    defined = below > 0
    if defined.all():
        return np.asarray(total(above / below, axis) / below.shape[axis])
    return ratio(total(above / np.where(defined, below, 1), axis), total(defined, axis))


def total(values: Numbers, axis: int) -> Numbers:
    """Sum along an axis in its order, so that a draw alone gives the same as among many.

    NumPy's own adds in another order where the other axes are of length 1.
    """
    first, *others = np.moveaxis(values, axis, 0)
    found = np.asarray(0 + first)
    for other in others:
        found += other
    return found
