"""How many groups of equal weight a metric rests on: of unequal ones, fewer than there are.

The spread over groups is known as well as groups carry the metric evenly. Where a class is in 3 of
44 groups, a mean over classes varies with those 3, and so does the estimate of how much.
"""

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.predictions import Predictions
from backbench.metrics.table import Metric

LEVEL = 0.95
FEWEST_KNOWN = 1.5
"""Below, one group outweighs all others together: how far groups differ is not known."""
_DIGITS = 9  # equal groups give their number, whatever their shares round to


def effective_groups(predictions: Predictions, metric: Metric) -> float:
    """(sum of V_g)^2 / (sum of V_g^2), V_g the variance that group g brings (Satterthwaite 1946).

    The samples of a group are taken to move together, the classes of one on their own, so
    V_g = sum over classes c of (share of class c that is in g / number of classes)^2; without
    classes for a metric over samples, of one class for a metric of that, and for a mean over folds
    of each fold's classes. So do Carter, Schnepel and Steigerwald (2017) count clusters of unequal
    size. It rests on the labels alone: rows over the same samples have the same.

    Returns:
        from 1 to the number of groups, which it is where all weigh the same; 0 without samples.
    """
    rows = _counted(predictions, metric)
    if not len(rows):
        return 0.0
    G = len(predictions.group_names)
    classes, fold = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    if metric.over == "classes":
        classes = predictions.y_true[rows]
    if metric.form == "fold_mean":
        fold = np.unique(predictions.fold[rows], return_inverse=True)[1]
    cells, cell = np.unique(fold * len(predictions.classes) + classes, return_inverse=True)
    parts, held = np.unique(cell * G + predictions.group_codes[rows], return_counts=True)
    of = cells // len(predictions.classes)
    weight = 1 / np.bincount(of)[of] / len(np.unique(of))
    share = weight[parts // G] * held / np.bincount(cell)[parts // G]
    variance = np.bincount(parts % G, weights=share**2)
    return float(np.round(variance.sum() ** 2 / (variance**2).sum(), _DIGITS))


def small_sample_factor(groups: float) -> float:
    """sqrt(E / (E - 1)), by which a resample of E groups spreads too little; NaN where unknown."""
    return float(np.sqrt(groups / (groups - 1))) if groups >= FEWEST_KNOWN else float("nan")


def t_quantile(groups: float) -> float:
    """Of a two-sided interval at `LEVEL` with E - 1 degrees of freedom; NaN where unknown."""
    from scipy.special import stdtrit

    return float(stdtrit(groups - 1, (1 + LEVEL) / 2)) if groups >= FEWEST_KNOWN else float("nan")


def _counted(predictions: Predictions, metric: Metric) -> NDArray[np.int64]:
    """Rows that the metric is an average of: of days one step of each series with an onset."""
    time = predictions.timeline
    if metric.unit == "days" and time is not None:
        first = np.unique(time.series, return_index=True)[1]
        return first[~np.isnan(time.onset[first])]
    counts = np.ones(len(predictions), bool) if time is None else time.scored.copy()
    if isinstance(metric.over, int):
        counts &= predictions.y_true == metric.over
    return np.flatnonzero(counts)
