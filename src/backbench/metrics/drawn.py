"""What rows bring to their comparisons: their values, common draws, and how far those lie apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evidence, Floats
from backbench.metrics.fold_mean import fold_table
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import bootstrap
from backbench.metrics.table import FOLD_MEAN, Metric, resolve
from backbench.metrics.uncertainty import seed_values

Pairs = NDArray[np.int64]
"""Positions of the two rows of each pair `[P, 2]`."""


@dataclass(frozen=True, eq=False)
class Values:
    """A metric of K rows, in one order.

    Attributes:
        value: of all samples `[K]`.
        by_fold: values by fold, seeds averaged, NaN where undefined `[K, J]`.
        by_seed: values by seed, one array a row.
        draws: on B common resamples of the groups, NaN where undefined, one array a row.
    """

    value: Floats
    by_fold: Floats
    by_seed: Sequence[Floats]
    draws: Sequence[Floats]

    def joined(self, more: "Values") -> "Values":
        """With other rows behind these."""
        return Values(
            np.concatenate([self.value, more.value]),
            np.concatenate([self.by_fold, more.by_fold]),
            [*self.by_seed, *more.by_seed],
            [*self.draws, *more.draws],
        )

    def at(self, places: NDArray[np.int64]) -> "Values":
        """Some of the rows, in any order."""
        by_seed, draws = ([rows[at] for at in places] for rows in (self.by_seed, self.draws))
        return Values(self.value[places], self.by_fold[places], by_seed, draws)


def draw(rows: Sequence[Predictions], metric: Metric, draws: int, seed: int) -> Values:
    """Values of K rows, among them those on B common resamples of their groups.

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
    return Values(
        value=np.array([float(evaluate(np.ones((1, groups)))[0]) for evaluate in evaluators]),
        by_fold=fold_table(pooled.kernel, evidence),
        by_seed=[np.array(seed_values(row, metric)) for row in rows],
        draws=list(bootstrap(evaluators, groups, draws=draws, seed=seed)),
    )


def spread(draws: Sequence[Floats], pairs: Pairs) -> Floats:
    """How far the draws of two rows lie apart: standard deviation of their difference `[P]`.

    A draw that is undefined in one of them does not count; NaN where fewer than 2 do.

    Args:
        draws: of each row `[B]`.
        pairs: of these rows.
    """
    means = {row: float(draws[row].mean()) for row in np.unique(pairs).tolist()}
    gaps = {row for row, mean in means.items() if math.isnan(mean)}
    # Differences of centred rows have mean 0 but for rounding: a pass less for each of many pairs.
    centred = {row: draws[row] - (0 if row in gaps else mean) for row, mean in means.items()}
    room, found = np.empty_like(draws[0]), np.empty(len(pairs))
    for place, (a, b) in enumerate(pairs.tolist()):
        apart = np.subtract(centred[a], centred[b], out=room)
        if a in gaps or b in gaps:
            apart = apart[~np.isnan(apart)]
            apart -= apart.mean() if apart.size else 0
        found[place] = _deviation(apart)
    return found


def _deviation(values: Floats) -> float:
    """Standard deviation of values whose mean is 0."""
    return math.sqrt(values @ values / (len(values) - 1)) if len(values) > 1 else math.nan


def superiority(ahead: Floats, behind: Floats) -> float:
    """Share of the draws `[B]` in which one row is ahead of another, ties counting half.

    NaN where no draw is defined in both.
    """
    defined = np.count_nonzero(~np.isnan(ahead - behind))
    won = np.count_nonzero(ahead > behind) + np.count_nonzero(ahead == behind) / 2
    return won / defined if defined else math.nan
