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
    together,
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
            total, weight = weigh(weights, sums).T
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
    return {fold.number: fold.value for fold in _folds(kernel, evidence)}


def _folds(kernel: Kernel, evidence: Evidence) -> list[Fold]:
    numbers = set(evidence.fold.tolist())
    kinds = {type(kernel(evidence.in_fold(number)[0])) for number in sorted(numbers)[:1]}
    cut = _cut_from_sums if kinds == {OfSums} else _one_by_one
    return [fold for fold in cut(kernel, evidence) if fold.number in numbers]


def _one_by_one(kernel: Kernel, evidence: Evidence) -> list[Fold]:
    found = []
    for number in np.unique(evidence.fold):
        part, groups = evidence.in_fold(number)
        evaluate = kernel(part)
        value = evaluate(np.ones((1, part.cells)))[0]
        found.append(Fold(int(number), groups, evaluate, float(value)))
    return found


def _cut_from_sums(kernel: Kernel, evidence: Evidence) -> list[Fold]:
    """The same where the evaluator is `OfSums`: built once, then cut into folds."""
    parts, fold, group = evidence.cut()
    numbers, starts = np.unique(fold, return_index=True)
    whole = kernel(parts)
    assert isinstance(whole, OfSums)
    single = whole.runs(starts)
    groups: list[NDArray[np.int64]] = np.split(group, starts[1:])
    values = together(single)
    columns = zip(numbers.tolist(), groups, single, values.tolist(), strict=True)
    return [Fold(*fold) for fold in columns]


def _of_single_groups(folds: Sequence[Fold], cells: int) -> Floats:
    """Value and count `[G, 2]` of folds of one group, whose weight does not change their value."""
    sums = np.zeros((cells, 2))
    for fold in folds:
        if not np.isnan(fold.value):
            sums[fold.groups[0]] += fold.value, 1
    return sums
