"""The mean over folds of each fold's metric, and those values themselves."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evaluator, Evidence, Floats, Kernel, Weights, ratio

_Fold = tuple[NDArray[np.int64], Evaluator]


def fold_mean(kernel: Kernel) -> Kernel:
    """Kernel of the mean over the folds where `kernel` is defined.

    In a resample a fold weighs the mean weight of its groups, and its value is that of its weighted
    groups: with one group a fold this is resampling folds, with one fold it is the pooled metric.
    """

    def build(evidence: Evidence) -> Evaluator:
        folds = [(groups, _evaluator(kernel, part)) for _, groups, part in _folds(evidence)]

        def evaluate(weights: Weights) -> Floats:
            total, weight = np.zeros(len(weights)), np.zeros(len(weights))
            for groups, one in folds:
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


def _evaluator(kernel: Kernel, part: Evidence) -> Evaluator:
    one = kernel(part)
    if part.cells > 1:
        return one
    # The only group of a fold: its weight changes how much the fold counts, not its value.
    value = one(np.ones((1, 1)))[0]
    return lambda weights: np.full(len(weights), value)


def _folds(evidence: Evidence) -> Iterator[tuple[int, NDArray[np.int64], Evidence]]:
    for fold in np.unique(evidence.fold):
        part, groups = evidence.where(evidence.fold == fold)
        yield int(fold), groups, part
