"""Area under the ROC curve, one class against the rest, for weighted groups.

AUROC is the share of (positive, negative) pairs in the right order, ties counting half (Hanley and
McNeil 1982). With weights on groups g and h it is `sum w_g w_h M[g, h] / (sum w_g n+_g)(sum w_h
n-_h)`, where `M[g, h]` counts the pairs between the two groups. The denominator does not depend on
the seed, so `M` is averaged over seeds once and a draw costs one matrix product.
"""

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import (
    Evaluator,
    Evidence,
    Floats,
    Weights,
    mean_defined,
    ratio,
    weigh,
)

_PAIRS_IN_MEMORY = 1 << 24
_COMPARED_AT_ONCE = 1 << 22


def auroc_ovr(evidence: Evidence) -> Evaluator:
    """Mean over the classes that have positives and negatives of AUROC against the rest."""
    codes = [1] if evidence.classes == 2 else list(range(evidence.classes))
    single = [_of_class(evidence, code) for code in codes]

    def evaluate(weights: Weights) -> Floats:
        return mean_defined(np.stack([one(weights) for one in single]), 0)

    return evaluate


def _of_class(evidence: Evidence, code: int) -> Evaluator:
    positive = evidence.y == code
    rows, columns = np.unique(evidence.cell[positive]), np.unique(evidence.cell[~positive])
    if len(rows) * len(columns) > _PAIRS_IN_MEMORY:
        return _by_sorting(evidence, code)
    return _by_pairs(evidence, code, rows, columns)


def _sizes(evidence: Evidence, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(evidence.cell[chosen], minlength=evidence.cells)


def _by_pairs(
    evidence: Evidence, code: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Evaluator:
    positive = evidence.y == code
    pairs = np.zeros((len(rows), len(columns)))
    for scores in evidence.p[:, :, code]:
        pairs += _count_pairs(scores, positive, evidence.cell) / len(evidence.p)
    sizes = np.column_stack([_sizes(evidence, positive), _sizes(evidence, ~positive)])

    def evaluate(weights: Weights) -> Floats:
        right = weights[:, rows] @ pairs.astype(weights.dtype)
        total = weigh(weights, sizes)
        counted = np.einsum("bh,bh->b", right, weights[:, columns])
        return ratio(counted, total[:, 0] * total[:, 1])

    return evaluate


def _count_pairs(scores: Weights, positive: NDArray[np.bool_], cell: NDArray[np.int64]) -> Floats:
    """Pairs in the right order by group of the positive and of the negative `[G+, G-]`."""
    high = np.flatnonzero(positive)[np.argsort(cell[positive], kind="stable")]
    low = np.flatnonzero(~positive)[np.argsort(cell[~positive], kind="stable")]
    if not high.size or not low.size:
        return np.zeros((len(np.unique(cell[high])), len(np.unique(cell[low]))))
    step = max(1, _COMPARED_AT_ONCE // len(low))
    parts = [
        _sum_groups(_compare(scores[high[at : at + step]], scores[low]), cell[low], axis=1)
        for at in range(0, len(high), step)
    ]
    return _sum_groups(np.vstack(parts), cell[high], axis=0).astype(np.float64)


def _sum_groups(pairs: Weights, cell: NDArray[np.int64], *, axis: int) -> Weights:
    """Sums over runs of equal cells along an axis."""
    starts = np.flatnonzero(np.r_[True, np.diff(cell) > 0])
    if len(starts) == len(cell):
        return pairs
    summed: Weights = np.add.reduceat(pairs, starts, axis=axis)
    return summed


def _compare(high: Weights, low: Weights) -> NDArray[np.float32]:
    above = (high[:, None] > low).astype(np.float32)
    above += high[:, None] >= low
    above /= 2
    return above


def _by_sorting(evidence: Evidence, code: int) -> Evaluator:
    """The same from cumulated weights over the sorted scores, for groups by the thousand."""
    positive = evidence.y == code
    plans = []
    for scores in evidence.p[:, :, code]:
        order = np.argsort(scores, kind="stable")
        levels = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
        plans.append((evidence.cell[order], positive[order], levels))

    def evaluate(weights: Weights) -> Floats:
        by_group = np.ascontiguousarray(weights.T)
        return mean_defined(np.stack([_sorted_auroc(by_group, *plan) for plan in plans]), 0)

    return evaluate


def _sorted_auroc(
    by_group: Weights,
    cell: NDArray[np.int64],
    positive: NDArray[np.bool_],
    levels: NDArray[np.intp],
) -> Floats:
    """AUROC of each column of `by_group` `[G, B]`; samples sorted by score, ties start `levels`."""
    high = np.add.reduceat(by_group[cell] * positive[:, None], levels, axis=0)
    low = np.add.reduceat(by_group[cell] * ~positive[:, None], levels, axis=0)
    below = np.cumsum(low, axis=0, dtype=np.float64)
    right = np.einsum("nb,nb->b", high, below - low / 2)
    return ratio(right, high.sum(axis=0, dtype=np.float64) * below[-1])
