"""Every metric of one row with its interval, and what the interval rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evaluator, Evidence
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import bootstrap
from backbench.metrics.table import FOLD_MEAN, Metric, resolve

DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """One metric of one row.

    Attributes:
        metric: its name.
        value: the metric of each seed, averaged over seeds; NaN where undefined.
        low, high: 95% interval over groups; NaN where there is none, see `note`.
        groups, folds, seeds: how many of each the value rests on.
        per_seed: the metric of each seed.
        seed_std: standard deviation over seeds; NaN with one seed. It says how much training
            scatters, not how sure the value is.
        undefined: reason -> number of folds left out of a fold mean (or 1 for a pooled metric
            without a value); empty when there is none.
        undefined_draws: resamples that had no value and were left out of the interval.
        note: why there is no interval, else empty.
    """

    metric: str
    value: float
    low: float
    high: float
    groups: int
    folds: int
    seeds: int
    per_seed: tuple[float, ...]
    seed_std: float
    undefined: Mapping[str, int]
    undefined_draws: int
    higher_is_better: bool
    note: str = ""


def summarise(
    predictions: Predictions, names: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> list[Estimate]:
    """Value, interval and seed spread of each metric.

    Args:
        predictions: of all seeds and folds of a row.
        names: see `resolve`.
        draws: resamples of the groups, shared by all metrics.
        seed: of the resampling.

    Raises:
        MetricError: an unknown metric.
    """
    metrics = [resolve(name, predictions.classes) for name in names]
    evidence = Evidence.of(predictions)
    evaluators = [metric.kernel(evidence) for metric in metrics]
    values = bootstrap(evaluators, evidence.cells, draws=draws, seed=seed)
    return [
        _estimate(predictions, metric, evaluator, row)
        for metric, evaluator, row in zip(metrics, evaluators, values, strict=True)
    ]


def interval(
    value: float, draws: NDArray[np.float64], groups: int, level: float = LEVEL
) -> tuple[float, float]:
    """Expanded percentile interval of the defined draws (Hesterberg 2015, section 4.2).

    Percentiles of the draws, taken further out as if a t quantile with G - 1 degrees of freedom
    and the factor sqrt(G / (G - 1)) stood in place of the normal one: the plain percentile
    interval is too narrow when groups are few.
    """
    from scipy.special import ndtr, stdtrit

    defined = draws[~np.isnan(draws)]
    if groups < 2 or np.isnan(value) or not defined.size:
        return float("nan"), float("nan")
    reach = stdtrit(groups - 1, (1 + level) / 2) * np.sqrt(groups / (groups - 1))
    low, high = np.quantile(defined, [ndtr(-reach), ndtr(reach)])
    return float(low), float(high)


def _estimate(
    predictions: Predictions, metric: Metric, evaluator: Evaluator, draws: NDArray[np.float64]
) -> Estimate:
    groups = len(predictions.group_names)
    value = float(evaluator(np.ones((1, groups)))[0])
    low, high = interval(value, draws, groups)
    per_seed = seed_values(predictions, metric)
    return Estimate(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        groups=groups,
        folds=predictions.folds,
        seeds=len(predictions.seeds),
        per_seed=per_seed,
        seed_std=float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else float("nan"),
        undefined=undefined_folds(predictions, metric),
        undefined_draws=int(np.isnan(draws).sum()),
        higher_is_better=metric.higher_is_better,
        note=_note(value, groups, metric),
    )


def seed_values(predictions: Predictions, metric: Metric) -> tuple[float, ...]:
    """The metric of each seed on its own."""
    every = [Evidence.of(predictions, position) for position in range(len(predictions.seeds))]
    return tuple(float(metric.kernel(one)(np.ones((1, one.cells)))[0]) for one in every)


def undefined_folds(predictions: Predictions, metric: Metric) -> dict[str, int]:
    """Reason -> number of folds without a value (1 for a pooled metric without one)."""
    evidence = Evidence.of(predictions)
    if metric.form == "fold_mean":
        pooled = resolve(metric.name.removesuffix(FOLD_MEAN), predictions.classes)
        values = list(fold_values(pooled.kernel, evidence).values())
    else:
        values = [float(metric.kernel(evidence)(np.ones((1, evidence.cells)))[0])]
    missing = int(np.isnan(values).sum())
    return {metric.undefined: missing} if missing else {}


def _note(value: float, groups: int, metric: Metric) -> str:
    if np.isnan(value):
        return f"undefined: {metric.undefined}"
    return "one group only: no interval" if groups < 2 else ""
