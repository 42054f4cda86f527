"""Area under the ROC curve, one class against the rest, for weighted groups.

AUROC is the share of (positive, negative) pairs in the right order, ties counting half (Hanley and
McNeil 1982). With weights on groups g and h it is `sum w_g w_h M[g, h] / (sum w_g n+_g)(sum w_h
n-_h)`, where `M[g, h]` counts the pairs between the two groups. The denominator does not depend on
the seed, so `M` is summed over seeds once and a draw costs one matrix product. Counts are exact: a
perfect order is 1, not nearly 1.

Samples are in the order of their log-odds, log p - log of what the other classes have. Those of a
network reach beyond 16, where a float32 probability is 1 and tells no two of them apart; that of
the others is then small and has all its digits. Elsewhere p alone is in that order and keeps ties.
"""

from functools import cache, partial

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

_PAIRS_A_DRAW = 1 << 20
_COUNTED_AT_ONCE = 1 << 20
_SURE = 0.999  # p of float32 still tells log-odds apart that differ by 1e-4


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
    by_pairs = cache(partial(_by_pairs, evidence, code, rows, columns))
    if not len(rows) or not len(columns):
        return by_pairs()
    by_components = _by_components(evidence, code)
    if len(rows) * len(columns) > _PAIRS_A_DRAW:
        return by_components

    def evaluate(weights: Weights) -> Floats:
        # Ranks are enough where all groups weigh the same; pairs take much longer to count.
        alike = bool((weights == weights[:, :1]).all())
        return by_components(weights) if alike else by_pairs()(weights)

    return evaluate


def _scores(p: NDArray[np.floating], code: int) -> Weights:
    """In the order of the log-odds of one class `[S, N]`, from probabilities `[S, N, C]`."""
    scores = p[:, :, code].copy()
    sure = scores > _SURE
    others = np.delete(p[sure], code, axis=1).sum(axis=1, dtype=np.float64)
    scores[sure] = 1 - np.log(np.maximum(others, np.finfo(np.float64).tiny))
    return scores


def _sizes(evidence: Evidence, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(evidence.cell[chosen], minlength=evidence.cells)


def _by_pairs(
    evidence: Evidence, code: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Evaluator:
    positive = evidence.y == code
    pairs = np.zeros((len(rows), len(columns)))
    for scores in _scores(evidence.p, code):
        pairs += _count_pairs(scores, positive, evidence.cell)
    sizes = np.column_stack([_sizes(evidence, positive), _sizes(evidence, ~positive)])

    def evaluate(weights: Weights) -> Floats:
        right = weights[:, rows] @ pairs.astype(weights.dtype)
        total = weigh(weights, sizes)
        counted = np.einsum("bh,bh->b", right, weights[:, columns])
        return ratio(counted, total[0] * total[1] * len(evidence.p))

    return evaluate


def _count_pairs(scores: Weights, positive: NDArray[np.bool_], cell: NDArray[np.int64]) -> Floats:
    """Pairs in the right order by group of the positive and of the negative `[G+, G-]`.

    The positives are sorted once; how many of each group are above a negative is then looked up.
    """
    high = np.flatnonzero(positive)[np.argsort(scores[positive])]
    low = np.flatnonzero(~positive)[np.argsort(cell[~positive], kind="stable")]
    under = np.searchsorted(scores[high], scores[low])
    upto = np.searchsorted(scores[high], scores[low], "right")
    groups, group = np.unique(cell[high], return_inverse=True)
    starts = np.flatnonzero(np.diff(cell[low], prepend=-1))
    pairs = np.zeros((len(groups), len(starts)))
    width = max(1, _COUNTED_AT_ONCE // len(cell))
    for first in range(0, len(groups), width):
        some = np.arange(first, min(first + width, len(groups)))
        below = np.zeros((len(high) + 1, len(some)), np.int64)
        np.cumsum(group[:, None] == some, axis=0, out=below[1:])
        above = 2 * below[-1] - below[under] - below[upto]  # a tie is one, the right order two
        pairs[some] = np.add.reduceat(above, starts, axis=0).T / 2
    return pairs


def _by_components(evidence: Evidence, code: int) -> Evaluator:
    """The same to first order, for groups by the thousand (DeLong et al. 1988).

    The share of negatives below each positive and of positives above each negative are its
    structural components. Their weighted means replace the pairs; what is left out has 1 / n of
    the variance. Exact for equal weights.
    """
    positive = evidence.y == code
    scores = _scores(evidence.p, code)
    right = np.sum([_pairs_of_each(one, positive) for one in scores], axis=0)
    columns = [
        np.bincount(evidence.cell[side], weights=values, minlength=evidence.cells)
        for side in (positive, ~positive)
        for values in (right[side], np.ones(side.sum()))
    ]
    sums, seeds = np.column_stack(columns), len(evidence.p)
    high, low = int(positive.sum()), int((~positive).sum())
    auroc = float(right[positive].sum() / (high * low * seeds))

    def evaluate(weights: Weights) -> Floats:
        total = weigh(weights, sums)
        of_high = ratio(total[0], total[1] * low * seeds)
        return of_high + ratio(total[2], total[3] * high * seeds) - auroc

    return evaluate


def _pairs_of_each(scores: Weights, positive: NDArray[np.bool_]) -> Floats:
    """In how many pairs each sample is ordered rightly, ties half `[N]`."""
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    below = (np.searchsorted(low, scores) + np.searchsorted(low, scores, "right")) / 2
    under = (np.searchsorted(high, scores) + np.searchsorted(high, scores, "right")) / 2
    return np.where(positive, below, len(high) - under)
