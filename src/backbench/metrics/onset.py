"""Kernel of the metric of time: how many days off a series is said to turn."""

import numpy as np

from backbench.metrics.evidence import Evaluator, Evidence, OfSums, ratio


def onset_error(evidence: Evidence) -> Evaluator:
    """Mean over the series with an onset of |day said - onset|, in days; NaN without such series.

    The day said is that of the first step, scored or not, whose second class is more probable
    than the first; the last day where there is none.
    """
    turns = evidence.turns
    if turns is None:
        return lambda weights: np.full(len(weights), np.nan)
    days = turns.days.mean(axis=0)
    sums = np.bincount(turns.cell, weights=days, minlength=evidence.cells)
    counts = np.bincount(turns.cell, minlength=evidence.cells)
    both = np.column_stack([sums, counts])
    return OfSums((both,), lambda total: ratio(*total))
