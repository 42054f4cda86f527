"""Every metric of one row with its interval, and what the interval rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.effective import (
    FEWEST_KNOWN,
    LEVEL,
    effective_groups,
    small_sample_factor,
    t_quantile,
)
from backbench.metrics.evidence import Evaluator, Evidence
from backbench.metrics.fold_mean import fold_table
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import bootstrap
from backbench.metrics.table import FOLD_MEAN, Metric, resolve
from backbench.metrics.unseen import Unseen

DRAWS = 10_000
ROUNDING = 1e-6
"""A spread of draws this small, relative to the value, is none, and a share this close to 0 or 1 is
there: sums may be float32."""


@dataclass(frozen=True)
class Estimate:
    """One metric of one row.

    Attributes:
        metric: its name.
        value: the metric of each seed, averaged over seeds; NaN where undefined.
        low, high: 95% interval over groups; NaN where there is none, see `note`.
        groups, folds, seeds: how many of each the value rests on.
        effective: groups of equal weight that these are worth, see `effective_groups`.
        per_seed: the metric of each seed.
        seed_std: standard deviation over seeds; NaN with one seed. It says how much training
            scatters, not how sure the value is.
        undefined: reason -> number of folds left out of a fold mean (or 1 for a pooled metric
            without a value); empty when there is none.
        undefined_seeds: reason -> number of seeds (of a fold each, for a fold mean) left out of the
            mean over seeds; where no seed has a value, see `undefined`.
        undefined_draws: resamples that had no value and were left out of the interval.
        note: why there is no interval, else empty.
    """

    metric: str
    value: float
    low: float
    high: float
    groups: int
    effective: float
    folds: int
    seeds: int
    per_seed: tuple[float, ...]
    seed_std: float
    undefined: Mapping[str, int]
    undefined_seeds: Mapping[str, int]
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
    value: float, draws: NDArray[np.float64], *, unit: str, groups: float, at_bound: float
) -> tuple[float, float]:
    """95% interval from bootstrap draws, on the scale where the metric has no walls.

    `link(value) +- t * error`, with the standard deviation of the draws carried to the logit of a
    share or the logarithm of nats and days (delta method), times sqrt(E / (E - 1)), and a t
    quantile with E - 1 degrees of freedom. It never leaves the metric's range; of the forms tried
    it covers best (docs/statistics.md).

    Args:
        value: of the metric.
        draws: of the metric `[B]`; undefined ones (NaN) are left out.
        unit: of the metric, `share`, `nats` or `days`.
        groups: E, the effective ones.
        at_bound: where all groups show the same the draws have no spread, and at 0 or 1, of a
            perfect score for one, none that could tell; this share of new groups may then show
            anything, from 0 to 1. Nats and days have no such limit, so no interval.
    """
    from scipy.special import expit, logit

    defined = draws[~np.isnan(draws)]
    if groups < FEWEST_KNOWN or np.isnan(value) or defined.size < 2:
        return float("nan"), float("nan")
    spread = defined.std(ddof=1)
    at_wall = unit == "share" and not ROUNDING < value < 1 - ROUNDING
    if at_wall or spread <= ROUNDING * value:
        least = (1 - at_bound) * value
        return (least, least + at_bound) if unit == "share" else (float("nan"), float("nan"))
    half = t_quantile(groups) * small_sample_factor(groups) * spread
    if unit in ("nats", "days"):
        with np.errstate(over="ignore"):  # so wide that it has no other end
            factor = np.exp(half / value)
        return float(value / factor), float(value * factor)
    centre, reach = logit(value), half / (value * (1 - value))
    return float(expit(centre - reach)), float(expit(centre + reach))


def at_bound(predictions: Predictions, metric: Metric) -> float:
    """Upper 97.5% limit of the share of groups that differ, if none did, see `Unseen`."""
    return Unseen.of(predictions, metric).share(1 - LEVEL)


def _estimate(
    predictions: Predictions, metric: Metric, evaluator: Evaluator, draws: NDArray[np.float64]
) -> Estimate:
    groups = len(predictions.group_names)
    value = float(evaluator(np.ones((1, groups)))[0])
    bound = at_bound(predictions, metric)
    effective = effective_groups(predictions, metric)
    low, high = interval(value, draws, unit=metric.unit, groups=effective, at_bound=bound)
    per_seed = seed_values(predictions, metric)
    undefined, undefined_seeds = _undefined(predictions, metric, per_seed)
    return Estimate(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        groups=groups,
        effective=effective,
        folds=predictions.folds,
        seeds=len(predictions.seeds),
        per_seed=per_seed,
        seed_std=float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else float("nan"),
        undefined=undefined,
        undefined_seeds=undefined_seeds,
        undefined_draws=int(np.isnan(draws).sum()),
        higher_is_better=metric.higher_is_better,
        note=_note(value, low, groups, effective, metric),
    )


def seed_values(predictions: Predictions, metric: Metric) -> tuple[float, ...]:
    """The metric of each seed on its own."""
    every = [Evidence.of(predictions, position) for position in range(len(predictions.seeds))]
    return tuple(float(metric.kernel(one)(np.ones((1, one.cells)))[0]) for one in every)


def _undefined(
    predictions: Predictions, metric: Metric, per_seed: Sequence[float]
) -> tuple[dict[str, int], dict[str, int]]:
    """Reason -> how many folds (1 if pooled) have no value, and how many seeds in the others."""
    values = np.array(per_seed)[:, None]
    if metric.form == "fold_mean":
        pooled = resolve(metric.name.removesuffix(FOLD_MEAN), predictions.classes)
        every = [Evidence.of(predictions, position) for position in range(len(per_seed))]
        values = fold_table(pooled.kernel, every)
    missing = np.isnan(values)
    nowhere = missing.all(axis=0)
    folds, seeds = (
        {metric.undefined: int(n)} if n else {} for n in (nowhere.sum(), missing[:, ~nowhere].sum())
    )
    return folds, seeds


def _note(value: float, low: float, groups: int, effective: float, metric: Metric) -> str:
    if np.isnan(value):
        return f"undefined: {metric.undefined}"
    if groups < 2:
        return "one group only: no interval"
    if not effective:
        return "no sample that it is about: no interval"
    if effective < FEWEST_KNOWN:
        return "nearly all of it rests on one group: no interval"
    return "all groups show the same: no interval" if np.isnan(low) else ""
