"""Other intervals from the same draws, to see which form holds the truth most reliably."""

from collections.abc import Mapping

import numpy as np
from known_truth import Case
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from backbench.metrics import resolve
from backbench.metrics.effective import effective_groups
from backbench.metrics.evidence import Evidence
from backbench.metrics.resampling import bootstrap, pseudo_values
from backbench.metrics.uncertainty import at_bound, interval

Floats = NDArray[np.float64]
FORMS = ("logit_t", "percentile", "bca", "plain_t")
Held = dict[tuple[str, str], list[int]]


def count(case: Case, truth: Mapping[str, float], boards: int, seed: int, draws: int) -> Held:
    """(form, metric) -> intervals made, those below and those above the truth."""
    random = np.random.default_rng(seed)
    held: Held = {}
    for _ in range(boards):
        for row in case.board(random):
            metrics = [resolve(name, row.classes) for name in case.metrics]
            evidence = Evidence.of(row)
            evaluators = [metric.kernel(evidence) for metric in metrics]
            groups = evidence.cells
            drawn = bootstrap(evaluators, groups, draws=draws, seed=int(random.integers(1 << 31)))
            pseudo = pseudo_values(evaluators, groups)
            for m, metric in enumerate(metrics):
                value = float(evaluators[m](np.ones((1, groups)))[0])
                limits = _forms(value, drawn[m], pseudo[m], groups)
                bound = at_bound(row, metric)
                limits["logit_t"] = interval(
                    value,
                    drawn[m],
                    unit=metric.unit,
                    groups=effective_groups(row, metric),
                    at_bound=bound,
                )
                for form, (low, high) in limits.items():
                    tally = held.setdefault((form, metric.name), [0, 0, 0])
                    tally[0] += 1
                    tally[1] += bool(high < truth[metric.name])
                    tally[2] += bool(low > truth[metric.name])
    return held


def _forms(
    value: float, draws: Floats, pseudo: Floats, groups: int
) -> dict[str, tuple[float, float]]:
    draws = draws[~np.isnan(draws)]
    error = draws.std(ddof=1) * np.sqrt(groups / (groups - 1))
    half = float(stdtrit(groups - 1, 0.975) * error)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "percentile": (float(low), float(high)),
        "bca": _bca(value, draws, pseudo),
        "plain_t": (value - half, value + half),
    }


def _bca(value: float, draws: Floats, pseudo: Floats) -> tuple[float, float]:
    """Bias-corrected and accelerated percentiles (Efron 1987)."""
    below = ((draws < value).sum() + 0.5 * (draws == value).sum()) / len(draws)
    bias = ndtri(np.clip(below, 1e-3, 1 - 1e-3))
    centred = pseudo - pseudo.mean()
    squares = (centred**2).sum()
    acceleration = (centred**3).sum() / 6 / squares**1.5 if squares else 0.0
    at = [
        ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
        for z in (ndtri(0.025), ndtri(0.975))
    ]
    low, high = np.quantile(draws, at)
    return float(low), float(high)
