"""Whether two rows are apart: from paired draws to a difference, its p-value and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Floats, ratio
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
    """What K rows bring to their comparisons, in one order.

    Attributes:
        value: of the metric `[K]`.
        draws: values on the common draws `[K, B]`.
        by_fold: values by fold, seeds averaged, NaN where undefined `[K, J]`.
        by_seed: values by seed, one array a row.
    """

    value: Floats
    draws: Floats
    by_fold: Floats
    by_seed: Sequence[Floats]


@dataclass(frozen=True)
class Terms:
    """On what terms rows are compared.

    Attributes:
        metric: of all rows.
        groups: G.
        test_to_train: n_test / n_train of a fold, 0 where it is not known.
        rope: as in `compare`.
    """

    metric: Metric
    groups: int
    test_to_train: float
    rope: float = 0.0


def separate(drawn: Drawn, pairs: Sequence[tuple[int, int]], terms: Terms) -> list[Comparison]:
    """Compare rows by their positions; the verdicts are still open, see `judge`.

    Args:
        drawn: of all rows.
        pairs: positions of row a and row b, in the order of the answer.
        terms: of all comparisons.
    """
    others: dict[int, list[int]] = {}
    for a, b in pairs:
        others.setdefault(a, []).append(b)
    made: dict[tuple[int, int], Comparison] = {}
    for a, bs in others.items():
        compared = _with_others(drawn, a, bs, terms)
        made |= {(a, b): one for b, one in zip(bs, compared, strict=True)}
    return [made[pair] for pair in pairs]


def _with_others(drawn: Drawn, row: int, others: Sequence[int], terms: Terms) -> list[Comparison]:
    """One row against several at once: a row of the board costs a few passes over its draws."""
    metric, groups, rope = terms.metric, terms.groups, terms.rope
    at = np.asarray(others, dtype=np.int64)
    spread = drawn.draws[row] - drawn.draws[at]
    by_fold = drawn.by_fold[row] - drawn.by_fold[at]
    correction = 1 + by_fold.shape[1] * terms.test_to_train
    difference = drawn.value[row] - drawn.value[at]
    sampling = _sampling_errors(spread, groups)
    error = sampling * np.sqrt(correction)
    half = _t_quantile(groups) * error
    p_value, p_beyond = (_p_values(difference, error, groups, edge) for edge in (0.0, rope))
    superiority = _superiorities(spread if metric.higher_is_better else -spread)
    corrected = corrected_resampled_t(by_fold, terms.test_to_train)
    return [
        Comparison(
            metric=metric.name,
            difference=float(difference[i]),
            low=float(difference[i] - half[i]),
            high=float(difference[i] + half[i]),
            standard_error=float(error[i]),
            bootstrap_error=float(sampling[i]),
            correction=correction,
            p_value=float(p_value[i]),
            p_adjusted=float(p_beyond[i]),
            family=1,
            superiority=float(superiority[i]),
            verdict="not separated",
            rope=rope,
            groups=groups,
            seed_std=_seed_std(drawn.by_seed[row], drawn.by_seed[other]),
            corrected_t=corrected[i],
            higher_is_better=metric.higher_is_better,
        )
        for i, other in enumerate(at)
    ]


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


def corrected_resampled_t(differences: Floats, test_to_train: float) -> list[CorrectedT | None]:
    """Nadeau and Bengio 2003, for each row of fold differences `[P, J]`.

    Args:
        differences: of two rows' fold values, seeds averaged; NaN where a fold is undefined.
        test_to_train: n_test / n_train of a fold.

    Returns:
        None for a row with fewer than 2 folds where both have a value.
    """
    from scipy.special import stdtr

    folds = (~np.isnan(differences)).sum(axis=1)
    d = differences[folds > 1]
    factor = 1 / folds[folds > 1] + test_to_train
    t = _over(np.nanmean(d, axis=1), np.sqrt(factor * np.nanvar(d, axis=1, ddof=1)))
    p = 2 * stdtr(folds[folds > 1] - 1, -np.abs(t))
    made = iter(
        CorrectedT(*values)
        for values in zip(
            t.tolist(), p.tolist(), factor.tolist(), folds[folds > 1].tolist(), strict=True
        )
    )
    return [next(made) if count > 1 else None for count in folds]


def _verdict(one: Comparison, p_adjusted: float) -> Verdict:
    if p_adjusted < 1 - LEVEL:
        return "better" if (one.difference > 0) == one.higher_is_better else "worse"
    if one.rope > 0 and -one.rope <= one.low and one.high <= one.rope:
        return "equivalent"
    return "not separated"


def _sampling_errors(spread: Floats, groups: int) -> Floats:
    """Standard deviation over the draws that are defined, of each row of `[P, B]`."""
    defined = ~np.isnan(spread)
    few = (defined.sum(axis=1) < 2) | (groups < 2)
    errors = np.full(len(spread), np.nan)
    some = spread[~few]
    errors[~few] = (some if defined.all() else np.ma.masked_invalid(some)).std(axis=1, ddof=1)
    return errors * np.sqrt(groups / (groups - 1)) if groups > 1 else errors


def _t_quantile(groups: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(groups - 1, (1 + LEVEL) / 2)) if groups > 1 else float("nan")


def _p_values(difference: Floats, error: Floats, groups: int, rope: float) -> Floats:
    """Two-sided p of differences no larger than `rope`; 1 where there is no standard error."""
    from scipy.special import stdtr

    beyond = np.abs(difference) - rope
    tested = (beyond > 0) & ~np.isnan(error)
    p = np.ones(len(difference))
    p[tested] = 2 * stdtr(groups - 1, -_over(beyond[tested], error[tested]))
    return p


def _over(value: Floats, error: Floats) -> Floats:
    """`value / error`; infinite where only the error is 0, 0 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, value / error)


def _seed_std(a: Floats, b: Floats) -> float:
    return float((a - b).std(ddof=1)) if len(a) == len(b) > 1 else float("nan")


def _superiorities(spread: Floats) -> Floats:
    """Share of the defined draws above 0, ties counting half, of each row of `[P, B]`."""
    defined = (~np.isnan(spread)).sum(axis=1)
    above = (spread > 0).sum(axis=1) + 0.5 * (spread == 0).sum(axis=1)
    return ratio(above, defined)
