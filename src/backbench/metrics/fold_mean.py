"""The mean over folds of each fold's metric, and those values themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import (
    Evaluator,
    Evidence,
    Floats,
    Kernel,
    OfSums,
    Weights,
    ratio,
    weigh,
)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold on its own.

    Attributes:
        number: of the fold.
        groups: numbers of its groups.
        evaluate: the metric for any weights of them.
        value: the metric, NaN where it is undefined.
    """

    number: int
    groups: NDArray[np.int64]
    evaluate: Evaluator
    value: float


def fold_mean(kernel: Kernel) -> Kernel:
    """Kernel of the mean over the folds where `kernel` is defined.

    In a resample a fold weighs the mean weight of its groups, and its value is that of its weighted
    groups: with one group a fold this is resampling folds, with one fold it is the pooled metric.
    """

    def build(evidence: Evidence) -> Evaluator:
        folds = _folds(kernel, evidence)
        sums = _of_single_groups([f for f in folds if len(f.groups) == 1], evidence.cells)
        several = [f for f in folds if len(f.groups) > 1]

        def evaluate(weights: Weights) -> Floats:
            total, weight = weigh(weights, sums)
            for fold in several:
                inside = weights[:, fold.groups]
                value, share = fold.evaluate(inside), inside.mean(axis=1)
                defined = ~np.isnan(value) & (share > 0)
                total += np.where(defined, value * share, 0)
                weight += np.where(defined, share, 0)
            return ratio(total, weight)

        return evaluate

    return build


def fold_values(kernel: Kernel, evidence: Evidence) -> dict[int, float]:
    """Each fold's value, averaged over seeds; NaN where it is undefined."""
    (values,) = fold_table(kernel, [evidence])
    return dict(zip(_numbers(evidence), values.tolist(), strict=True))


def fold_table(kernel: Kernel, rows: Sequence[Evidence]) -> Floats:
    """The same of K rows over the same samples, by ascending numbers of the folds `[K, J]`."""
    values = _by_cut if _is_of_sums(kernel, rows[0]) else _by_part
    found = [values(kernel, row) for row in rows]
    return np.array([[row[number] for number in _numbers(rows[0])] for row in found])


def _by_cut(kernel: Kernel, evidence: Evidence) -> dict[int, float]:
    cut = _Cut.of(kernel, evidence)
    return dict(zip(cut.numbers.tolist(), cut.values.tolist(), strict=True))


def _by_part(kernel: Kernel, evidence: Evidence) -> dict[int, float]:
    return {fold.number: fold.value for fold in _one_by_one(kernel, evidence)}


def _numbers(evidence: Evidence) -> list[int]:
    return sorted(set(evidence.fold.tolist()))


def _folds(kernel: Kernel, evidence: Evidence) -> list[Fold]:
    """Those with samples; of series some have only steps that are not scored."""
    sums = _is_of_sums(kernel, evidence)
    folds = _Cut.of(kernel, evidence).folds if sums else _one_by_one(kernel, evidence)
    numbers = set(evidence.fold.tolist())
    return [fold for fold in folds if fold.number in numbers]


def _is_of_sums(kernel: Kernel, evidence: Evidence) -> bool:
    """Whether it gives `OfSums`, seen on one fold: the whole may be dear to build."""
    first = evidence.fold[:1].tolist()
    return any(isinstance(kernel(evidence.in_fold(fold)[0]), OfSums) for fold in first)


def _one_by_one(kernel: Kernel, evidence: Evidence) -> list[Fold]:
    found = []
    for number in np.unique(evidence.fold):
        part, groups = evidence.in_fold(number)
        evaluate = kernel(part)
        value = evaluate(np.ones((1, part.cells)))[0]
        found.append(Fold(int(number), groups, evaluate, float(value)))
    return found


@dataclass(frozen=True, eq=False)
class _Cut:
    """An `OfSums` metric built once over the groups cut along J folds into cells.

    Attributes:
        numbers: of the folds, int64 `[J]`.
        starts: where the cells of each fold begin `[J]`.
        groups: group of each cell, those of a fold together `[cells]`.
        whole: the metric with cells in place of groups.
    """

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    groups: NDArray[np.int64]
    whole: OfSums

    @classmethod
    def of(cls, kernel: Kernel, evidence: Evidence) -> "_Cut":
        parts, fold, groups = evidence.cut()
        numbers, starts = np.unique(fold, return_index=True)
        whole = kernel(parts)
        assert isinstance(whole, OfSums)
        return cls(numbers, starts, groups, whole)

    @property
    def values(self) -> Floats:
        """Of each fold on its own `[J]`."""
        return self.whole.of_runs(self.starts)

    @property
    def folds(self) -> list[Fold]:
        groups: list[NDArray[np.int64]] = np.split(self.groups, self.starts[1:])
        single = self.whole.runs(self.starts)
        columns = zip(self.numbers.tolist(), groups, single, self.values.tolist(), strict=True)
        return [Fold(*fold) for fold in columns]


def _of_single_groups(folds: Sequence[Fold], cells: int) -> Floats:
    """Value and count `[G, 2]` of folds of one group, whose weight does not change their value."""
    sums = np.zeros((cells, 2))
    for fold in folds:
        if not np.isnan(fold.value):
            sums[fold.groups[0]] += fold.value, 1
    return sums
