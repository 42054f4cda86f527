"""How sure the same in all groups is: what groups that were not seen may still show."""

from dataclasses import dataclass

import numpy as np

from backbench.metrics.evidence import Floats
from backbench.metrics.predictions import Predictions
from backbench.metrics.table import Metric

FEWEST = 6
"""Effective groups, rounded, that tell rows apart: with fewer `equal_signs` is not below 0.05."""
_NONE = np.finfo(np.float64).tiny  # groups of a class that does not occur: all of them may differ
_STEPS = 20  # 12 give all digits from 1 to 10,000 groups


def equal_signs(groups: float) -> float:
    """Two-sided p of so many differences that have one sign (sign test), 2^(1 - G), G rounded."""
    return min(1.0, float(2 ** (1 - round(groups))))


@dataclass(frozen=True, eq=False)
class Unseen:
    """Limit of the share of groups that differ, if none of those seen did (Clopper and Pearson).

    For a metric over classes it is that of each class, from the groups that hold it, averaged.

    Attributes:
        groups: of each class; of all samples for a metric over these `[C]`.
    """

    groups: Floats

    @classmethod
    def of(cls, predictions: Predictions, metric: Metric) -> "Unseen":
        """Of one row; rows over the same samples have the same."""
        scored = predictions.scored
        with_class = [
            len(np.unique(scored.group_codes[scored.y_true == code]))
            for code in range(len(scored.classes))
        ]
        groups = {"samples": [len(scored.group_names)], "classes": [n for n in with_class if n]}
        chosen = groups[metric.over] if isinstance(metric.over, str) else [with_class[metric.over]]
        return cls(np.maximum(chosen, _NONE))

    def share(self, alpha: float) -> float:
        """The upper end of the interval of level 1 - `alpha`."""
        return float(np.mean(1 - (alpha / 2) ** (1 / self.groups)))

    def interval(self, difference: Floats, alpha: float) -> tuple[Floats, Floats]:
        """Of differences of shares that all groups show, where new groups may show any `[P]`."""
        share = self.share(alpha)
        seen = (1 - share) * difference
        return seen - share, seen + share

    def p_value(self, difference: Floats, rope: float) -> Floats:
        """The smallest alpha whose `interval` holds no difference up to `rope` `[P]`.

        Its near end, (1 - share) |difference| - share, is `rope` where 1 - share, the mean over C
        of (alpha / 2)^(1 / groups), is (1 + rope) / (1 + |difference|). That mean is convex in
        ln(alpha / 2), so Newton's steps from 0 come down to the solution and never pass it.
        """
        kept = np.minimum((1 + rope) / (1 + np.abs(difference)), 1)
        groups, classes = np.unique(self.groups, return_counts=True)
        weight, log = classes / classes.sum(), np.zeros(len(kept))
        for _ in range(_STEPS):
            each = np.exp(log[:, None] / groups)
            log -= (each @ weight - kept) / (each @ (weight / groups))
        found: Floats = np.minimum(2 * np.exp(log), 1)
        return found
