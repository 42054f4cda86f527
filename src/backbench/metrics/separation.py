"""Whether two rows are apart: from paired draws to a difference, its p-value and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Floats
from backbench.metrics.table import Metric
from backbench.metrics.uncertainty import LEVEL

Verdict = Literal["better", "worse", "equivalent", "not separated"]


@dataclass(frozen=True)
class CorrectedT:
    """Corrected resampled t-test of fold values (Nadeau and Bengio 2003).

    Attributes:
        t: mean difference / sqrt(factor * variance over folds).
        p_value: two-sided, with `folds` - 1 degrees of freedom.
        factor: 1 / folds + n_test / n_train, in place of 1 / folds for independent runs.
        folds: where both rows have a value.
    """

    t: float
    p_value: float
    factor: float
    folds: int


@dataclass(frozen=True)
class Comparison:
    """Row a against row b.

    Attributes:
        metric: its name.
        difference: value of a minus value of b, in units of the metric.
        low, high: 95% interval of the difference, `difference` +- t * `standard_error` with
            groups - 1 degrees of freedom; NaN with one group.
        standard_error: of the difference over new groups and new training sets, that is
            `bootstrap_error` * sqrt(`correction`).
        bootstrap_error: of the difference over new groups alone, from the draws, with the small
            sample factor sqrt(G / (G - 1)).
        correction: 1 + folds * n_test / n_train, by which shared training sets widen the variance
            (Nadeau and Bengio 2003); 1 where the training set is not known.
        p_value: two-sided, of no difference.
        p_adjusted: two-sided, of a difference no larger than `rope`, Holm-adjusted over `family`
            comparisons; the one that decides. With `rope` 0 and one comparison it is `p_value`.
        family: how many comparisons were made together.
        superiority: share of the draws in which a is better than b, ties counting half.
        verdict: `better` or `worse` is said of a.
        rope: differences up to this size do not matter.
        groups: paired units of evidence.
        seed_std: standard deviation over seeds of the difference, paired by position; NaN with
            one seed or different numbers of seeds.
        corrected_t: the classical form over fold values, for the record; None with fewer than 2
            folds where both have a value.
        higher_is_better: direction of the metric.
    """

    metric: str
    difference: float
    low: float
    high: float
    standard_error: float
    bootstrap_error: float
    correction: float
    p_value: float
    p_adjusted: float
    family: int
    superiority: float
    verdict: Verdict
    rope: float
    groups: int
    seed_std: float
    corrected_t: CorrectedT | None
    higher_is_better: bool


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one row brings to its comparisons.

    Attributes:
        value: of the metric.
        draws: its values on the common draws `[B]`.
        by_fold: its values by fold, seeds averaged, NaN where undefined `[J]`.
        by_seed: its values by seed `[S]`.
    """

    value: float
    draws: Floats
    by_fold: Floats
    by_seed: Floats


def separate(
    a: Drawn, b: Drawn, metric: Metric, *, groups: int, test_to_train: float, rope: float
) -> Comparison:
    """Compare two rows; the verdict is still open, see `judge`.

    Args:
        a: one row.
        b: the other, on the same draws.
        metric: of both.
        groups: G.
        test_to_train: n_test / n_train of a fold, 0 where it is not known.
        rope: as in `compare`.
    """
    correction = 1 + len(a.by_fold) * test_to_train
    difference, spread = a.value - b.value, a.draws - b.draws
    spread = spread[~np.isnan(spread)]
    sampling = _sampling_error(spread, groups)
    error = sampling * float(np.sqrt(correction))
    half = _t_quantile(groups) * error
    return Comparison(
        metric=metric.name,
        difference=difference,
        low=difference - half,
        high=difference + half,
        standard_error=error,
        bootstrap_error=sampling,
        correction=correction,
        p_value=_p_value(difference, error, groups, 0.0),
        p_adjusted=_p_value(difference, error, groups, rope),
        family=1,
        superiority=_superiority(spread if metric.higher_is_better else -spread),
        verdict="not separated",
        rope=rope,
        groups=groups,
        seed_std=_seed_std(a.by_seed, b.by_seed),
        corrected_t=corrected_resampled_t(a.by_fold - b.by_fold, test_to_train),
        higher_is_better=metric.higher_is_better,
    )


def judge(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Give comparisons made together their verdicts, with Holm's adjustment over all of them.

    `better` and `worse` need an adjusted p below 0.05 against the edge of the rope, `equivalent`
    the whole interval inside a rope wider than 0.
    """
    adjusted = holm([one.p_adjusted for one in comparisons])
    return [
        replace(one, p_adjusted=float(p), family=len(comparisons), verdict=_verdict(one, float(p)))
        for one, p in zip(comparisons, adjusted, strict=True)
    ]


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Step-down adjusted p-values (Holm 1979): at most `alpha` of ever rejecting a true null."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def corrected_resampled_t(differences: Floats, test_to_train: float) -> CorrectedT | None:
    """Nadeau and Bengio 2003 over fold differences `[J]`, NaN where a fold is undefined.

    Args:
        differences: of the two rows' fold values, seeds averaged.
        test_to_train: n_test / n_train of a fold.
    """
    from scipy.special import stdtr

    d = differences[~np.isnan(differences)]
    if len(d) < 2:
        return None
    factor = 1 / len(d) + test_to_train
    t = _over(float(d.mean()), float(np.sqrt(factor * d.var(ddof=1))))
    return CorrectedT(t, float(2 * stdtr(len(d) - 1, -abs(t))), factor, len(d))


def _verdict(one: Comparison, p_adjusted: float) -> Verdict:
    if p_adjusted < 1 - LEVEL:
        return "better" if (one.difference > 0) == one.higher_is_better else "worse"
    if one.rope > 0 and -one.rope <= one.low and one.high <= one.rope:
        return "equivalent"
    return "not separated"


def _sampling_error(spread: Floats, groups: int) -> float:
    if groups < 2 or len(spread) < 2:
        return float("nan")
    return float(spread.std(ddof=1) * np.sqrt(groups / (groups - 1)))


def _t_quantile(groups: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(groups - 1, (1 + LEVEL) / 2)) if groups > 1 else float("nan")


def _p_value(difference: float, error: float, groups: int, rope: float) -> float:
    """Two-sided p of a difference no larger than `rope`; 1 where there is no standard error."""
    from scipy.special import stdtr

    beyond = abs(difference) - rope
    if not beyond > 0 or np.isnan(error):
        return 1.0
    return float(2 * stdtr(groups - 1, -_over(beyond, error)))


def _over(value: float, error: float) -> float:
    if error > 0:
        return value / error
    return float(np.copysign(np.inf, value)) if value else 0.0


def _seed_std(a: Floats, b: Floats) -> float:
    return float((a - b).std(ddof=1)) if len(a) == len(b) > 1 else float("nan")


def _superiority(spread: Floats) -> float:
    return float(((spread > 0) + 0.5 * (spread == 0)).mean()) if spread.size else float("nan")
