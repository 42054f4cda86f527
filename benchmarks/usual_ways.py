"""How such boards are usually read, to measure how often that goes wrong."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from backbench.metrics import Metric, Predictions
from backbench.metrics.evidence import Evidence
from backbench.metrics.resampling import bootstrap

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_Z = float(ndtri(0.975))
_DRAWS = 300


def run_values(row: Predictions, metric: Metric) -> Floats:
    """The metric of each run, one fold and seed `[J x S]`; undefined runs dropped, as usual."""
    folds, fold = np.unique(row.fold, return_inverse=True)
    values = []
    for seed in range(len(row.seeds)):
        p, said = row.probabilities[seed : seed + 1], row.y_pred[seed : seed + 1]
        runs = Evidence(row.y_true, p, said, fold, fold, len(folds))
        values.append(metric.kernel(runs)(np.eye(len(folds))))
    flat = np.concatenate(values)
    return flat[~np.isnan(flat)]


def runs_interval(values: Floats) -> tuple[float, float]:
    """Mean +- 1.96 standard deviations over the square root of the number of runs."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = _Z * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def runs_differ(rows: list[Floats]) -> Integers:
    """1, -1 or 0 a pair: Welch's t-test over runs at 0.05, one pair at a time."""
    return np.array(
        [
            int(np.sign(a.mean() - b.mean())) * (_welch(a, b) < 0.05)
            for a, b in combinations(rows, 2)
        ]
    )


def sample_draws(row: Predictions, metrics: list[Metric], seed: int) -> Floats:
    """Bootstrap over samples, each row on its own `[metrics, draws]`."""
    n = len(row)
    own = np.arange(n)
    evidence = Evidence(row.y_true, row.probabilities, row.y_pred, row.fold, own, n)
    return bootstrap([one.kernel(evidence) for one in metrics], n, draws=_DRAWS, seed=seed)


def samples_interval(draws: Floats) -> tuple[float, float]:
    """Percentiles."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def samples_differ(rows: list[Floats]) -> Integers:
    """1, -1 or 0 a pair: where the 95% interval of the unpaired difference lies."""
    found = []
    for a, b in combinations(rows, 2):
        low, high = samples_interval(a - b)
        found.append(int(low > 0) - int(high < 0))
    return np.array(found)


def _welch(a: Floats, b: Floats) -> float:
    if min(len(a), len(b)) < 2:
        return 1.0
    u, v = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if u + v == 0:
        return 1.0
    df = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    return float(2 * stdtr(df, -abs(a.mean() - b.mean()) / np.sqrt(u + v)))
