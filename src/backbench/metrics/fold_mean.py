"""The mean over folds of each fold's metric, and those values themselves."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evaluator, Evidence, Floats, Kernel, Weights, ratio, weigh

_ONE = np.ones((1, 1))


def fold_mean(kernel: Kernel) -> Kernel:
    """Kernel of the mean over the folds where `kernel` is defined.

    In a resample a fold weighs the mean weight of its groups, and its value is that of its weighted
    groups: with one group a fold this is resampling folds, with one fold it is the pooled metric.
    """

    def build(evidence: Evidence) -> Evaluator:
        folds = [(groups, kernel(part), part.cells) for _, groups, part in _folds(evidence)]
        alone = [(groups[0], one(_ONE)[0]) for groups, one, cells in folds if cells == 1]
        several = [(groups, one) for groups, one, cells in folds if cells > 1]
        sums = _of_single_groups(alone, evidence.cells)

        def evaluate(weights: Weights) -> Floats:
            total, weight = weigh(weights, sums).T
            for groups, one in several:
                inside = weights[:, groups]
                value, share = one(inside), inside.mean(axis=1)
                defined = ~np.isnan(value) & (share > 0)
                total += np.where(defined, value * share, 0)
                weight += np.where(defined, share, 0)
            return ratio(total, weight)

        return evaluate

    return build


def fold_values(kernel: Kernel, evidence: Evidence) -> dict[int, float]:
    """Each fold's value, averaged over seeds; NaN where it is undefined."""
    return {
        fold: float(kernel(part)(np.ones((1, part.cells)))[0]) for fold, _, part in _folds(evidence)
    }


def _of_single_groups(folds: Sequence[tuple[int, float]], cells: int) -> Floats:
    """Value and count `[G, 2]` of folds of one group, whose weight does not change their value."""
    sums = np.zeros((cells, 2))
    for group, value in folds:
        if not np.isnan(value):
            sums[group] += value, 1
    return sums


def _folds(evidence: Evidence) -> Iterator[tuple[int, NDArray[np.int64], Evidence]]:
    for fold in np.unique(evidence.fold):
        part, groups = evidence.in_fold(fold)
        yield int(fold), groups, part
