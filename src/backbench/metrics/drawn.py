"""What rows bring to their comparisons: their values, common draws, and how far those lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evidence, Floats
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import bootstrap
from backbench.metrics.table import FOLD_MEAN, Metric, resolve
from backbench.metrics.uncertainty import seed_values

Counts = NDArray[np.int64]
Pairs = Sequence[tuple[int, int]]
_AT_ONCE = 1 << 17  # floats; the differences of a block of pairs stay in the cache


@dataclass(frozen=True, eq=False)
class Values:
    """A metric of K rows, in one order.

    Attributes:
        value: of all samples `[K]`.
        by_fold: values by fold, seeds averaged, NaN where undefined `[K, J]`.
        by_seed: values by seed, one array a row.
    """

    value: Floats
    by_fold: Floats
    by_seed: Sequence[Floats]


@dataclass(frozen=True, eq=False)
class Spread:
    """How far the draws of two rows a and b lie apart; a draw undefined in one does not count.

    Attributes:
        deviation: standard deviation of a - b over the draws, NaN with fewer than 2 `[P]`.
        above, level: draws in which a is larger than b, and in which they are equal `[P]`.
        defined: draws that count `[P]`.
    """

    deviation: Floats
    above: Counts
    level: Counts
    defined: Counts

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Spread":
        """Columns to be filled."""
        return cls(np.empty(shape), *(np.empty(shape, np.int64) for _ in range(3)))

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """The fields, in their order."""
        return self.deviation, self.above, self.level, self.defined

    @property
    def below(self) -> Counts:
        """Draws in which a is smaller than b `[P]`."""
        return self.defined - self.above - self.level


def draw(
    rows: Sequence[Predictions], metric: Metric, draws: int, seed: int
) -> tuple[Values, Floats]:
    """Values of K rows, and those on B common resamples of their groups `[K, B]`.

    Args:
        rows: over the same samples, in the same order of them.
        metric: of all.
        draws: B.
        seed: of the resampling.
    """
    evidence = [Evidence.of(row) for row in rows]
    evaluators = [metric.kernel(one) for one in evidence]
    groups = evidence[0].cells
    pooled = resolve(metric.name.removesuffix(FOLD_MEAN), rows[0].classes)
    values = Values(
        value=np.array([float(evaluate(np.ones((1, groups)))[0]) for evaluate in evaluators]),
        by_fold=np.array([list(fold_values(pooled.kernel, one).values()) for one in evidence]),
        by_seed=[np.array(seed_values(row, metric)) for row in rows],
    )
    return values, bootstrap(evaluators, groups, draws=draws, seed=seed)


def spread(draws: Floats, pairs: Pairs) -> Spread:
    """Pairs of rows of `draws` `[K, B]`; quick where many have the same first row."""
    others: dict[int, list[int]] = {}
    for place, (first, _) in enumerate(pairs):
        others.setdefault(first, []).append(place)
    second = np.array([b for _, b in pairs], dtype=np.int64)
    found = Spread.empty((len(pairs),))
    size = max(1, _AT_ONCE // draws.shape[1])
    for first, places in others.items():
        for start in range(0, len(places), size):
            block = places[start : start + size]
            moments = _moments(draws[first] - draws[second[block]])
            for column, of_block in zip(found.columns, moments, strict=True):
                column[block] = of_block
    return found


def _moments(apart: Floats) -> tuple[Floats, Counts, Counts, Counts]:
    """The columns of a `Spread`, of differences `[P, B]`."""
    defined = apart.shape[1] - _count(np.isnan(apart))
    deviation = np.full(len(apart), np.nan)
    some = apart[defined > 1]
    gaps = np.isnan(some).any()
    deviation[defined > 1] = (np.ma.masked_invalid(some) if gaps else some).std(axis=1, ddof=1)
    return deviation, _count(apart > 0), _count(apart == 0), defined


def _count(marked: NDArray[np.bool_]) -> Counts:
    """Marked entries of each row; much faster than a sum over an axis."""
    return np.array([np.count_nonzero(row) for row in marked], dtype=np.int64)
