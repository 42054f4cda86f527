"""Whether two rows are apart: from paired draws to a difference, its p-value and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.drawn import Pairs, Values
from backbench.metrics.effective import LEVEL, small_sample_factor, t_quantile
from backbench.metrics.evidence import Floats
from backbench.metrics.table import Metric
from backbench.metrics.uncertainty import ROUNDING
from backbench.metrics.unseen import Unseen, equal_signs

Verdict = Literal["better", "worse", "equivalent", "not separated"]
VERDICTS: Sequence[Verdict] = ("better", "worse", "equivalent", "not separated")
BETTER, WORSE, EQUIVALENT, NOT_SEPARATED = range(4)
_TURNED = np.array([WORSE, BETTER, EQUIVALENT, NOT_SEPARATED])


@dataclass(frozen=True)
class CorrectedT:
    """Corrected resampled t-test of fold values (Nadeau and Bengio 2003).

    Attributes:
        t: mean difference / sqrt(factor * variance over folds).
        p_value: two-sided, with `folds` - 1 degrees of freedom; where all folds show the same
            difference, that of so many equal signs.
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
            `effective` - 1 degrees of freedom; NaN with fewer than 1.5. Where all groups show the
            same difference, what a new group could still show, see `Unseen.interval`.
        standard_error: of the difference over new groups and new training sets, that is
            `bootstrap_error` * sqrt(`correction`).
        bootstrap_error: of the difference over new groups alone, from the draws, with the small
            sample factor sqrt(E / (E - 1)), E the effective groups.
        correction: 1 + folds * n_test / n_train, by which shared training sets widen the variance
            (Nadeau and Bengio 2003); 1 where the training set is not known.
        p_value: two-sided, of no difference, and never below that of so many equal signs,
            2^(1 - `effective`). Where all groups show the same difference, the one at which the
            interval's end is 0, see `Unseen.p_value`.
        p_alone: two-sided, of a difference no larger than `rope`, without floor and adjustment.
        p_adjusted: two-sided, of a difference no larger than `rope`, Holm-adjusted over `family`
            comparisons, and never below 2^(1 - `effective`); the one that decides. With `rope` 0
            and one comparison it is `p_value`.
        family: how many comparisons were made together.
        superiority: share of the draws in which a is better than b, ties counting half.
        verdict: `better` or `worse` is said of a.
        rope: differences up to this size do not matter.
        groups: paired units of evidence.
        effective: how many of equal weight the metric rests on, see `effective_groups`.
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
    p_alone: float
    p_adjusted: float
    family: int
    superiority: float
    verdict: Verdict
    rope: float
    groups: int
    effective: float
    seed_std: float
    corrected_t: CorrectedT | None
    higher_is_better: bool


@dataclass(frozen=True)
class Terms:
    """On what terms rows are compared.

    Attributes:
        metric: of all rows.
        groups: G.
        effective: how many of equal weight they are worth, see `effective_groups`.
        test_to_train: n_test / n_train of a fold, 0 where it is not known.
        rope: as in `compare`.
        unseen: what groups not seen may show; None for nats and days, where that is anything.
    """

    metric: Metric
    groups: int
    effective: float
    test_to_train: float
    rope: float = 0.0
    unseen: Unseen | None = None


@dataclass(frozen=True, eq=False)
class Separated:
    """P comparisons made together: what decides of each, as columns `[P]`.

    Attributes:
        correction: of all of them.
        p_alone: against the edge of the rope, before Holm and not held to that of equal signs.
        verdict: positions in `VERDICTS`.
    """

    difference: Floats
    low: Floats
    high: Floats
    standard_error: Floats
    bootstrap_error: Floats
    correction: float
    p_value: Floats
    p_alone: Floats
    p_adjusted: Floats
    verdict: NDArray[np.int64]

    def seen(self, lines: NDArray[np.int64], turned: NDArray[np.bool_]) -> "Separated":
        """Some of the comparisons, in any order.

        Args:
            lines: which, `[Q]`.
            turned: which of these are wanted the other way round, b against a `[Q]`.
        """
        difference, low, high = self.difference[lines], self.low[lines], self.high[lines]
        verdict = self.verdict[lines]
        return Separated(
            difference=np.where(turned, -difference, difference),
            low=np.where(turned, -high, low),
            high=np.where(turned, -low, high),
            standard_error=self.standard_error[lines],
            bootstrap_error=self.bootstrap_error[lines],
            correction=self.correction,
            p_value=self.p_value[lines],
            p_alone=self.p_alone[lines],
            p_adjusted=self.p_adjusted[lines],
            verdict=np.where(turned, _TURNED[verdict], verdict),
        )


def separate(values: Values, pairs: Pairs, apart: Floats, terms: Terms) -> Separated:
    """Compare rows by their positions, Holm-adjusted over all pairs.

    Args:
        values: of all rows.
        pairs: positions of row a and row b `[P, 2]`.
        apart: standard deviation of the difference over the draws `[P]`.
        terms: of all comparisons.
    """
    groups, rope, higher = terms.effective, terms.rope, terms.metric.higher_is_better
    a, b = pairs.T
    difference = values.value[a] - values.value[b]
    sampling = apart * small_sample_factor(groups)
    correction = 1 + values.by_fold.shape[1] * terms.test_to_train
    error = sampling * np.sqrt(correction)
    half = t_quantile(groups) * error
    low, high = difference - half, difference + half
    p_value, p_beyond = (_p_values(difference, error, groups, edge) for edge in (0.0, rope))
    # Where all groups say the same there is no spread to learn an error from.
    alike = apart <= ROUNDING * np.maximum(np.abs(values.value[a]), np.abs(values.value[b]))
    if terms.groups > 1:
        low[alike], high[alike] = _not_yet_seen(difference[alike], terms)
        for p, edge in ((p_value, 0.0), (p_beyond, rope)):
            p[alike] = _p_without_spread(difference[alike], edge, terms)
    # A spread of few groups may be small by luck: no t is surer than that all lean one way.
    surest = equal_signs(groups)
    p_adjusted = np.maximum(holm(p_beyond), surest)
    return Separated(
        difference=difference,
        low=low,
        high=high,
        standard_error=error,
        bootstrap_error=sampling,
        correction=correction,
        p_value=np.maximum(p_value, surest),
        p_alone=p_beyond,
        p_adjusted=p_adjusted,
        verdict=verdicts((difference > 0) == higher, low, high, p_adjusted, rope),
    )


def verdicts(
    wins: NDArray[np.bool_], low: Floats, high: Floats, p_adjusted: Floats, rope: float
) -> NDArray[np.int64]:
    """Positions in `VERDICTS` `[P]`.

    `better` and `worse` need an adjusted p below 0.05 against the edge of the rope, `equivalent`
    the whole interval inside a rope wider than 0.

    Args:
        wins: whether the first of the two scores better.
        low: end of the interval.
        high: its other end.
        p_adjusted: over all comparisons made together.
        rope: differences up to this size do not matter.
    """
    apart = p_adjusted < 1 - LEVEL
    inside = (rope > 0) & (-rope <= low) & (high <= rope)
    return np.select([apart & wins, apart, inside], [BETTER, WORSE, EQUIVALENT], NOT_SEPARATED)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Step-down adjusted p-values (Holm 1979): at most `alpha` of ever rejecting a true null."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def corrected_resampled_t(differences: Floats, test_to_train: float) -> CorrectedT | None:
    """Nadeau and Bengio 2003; None with fewer than 2 folds where both rows have a value.

    Args:
        differences: of two rows' fold values, seeds averaged, NaN where undefined `[J]`.
        test_to_train: n_test / n_train of a fold.
    """
    from scipy.special import stdtr

    d = differences[~np.isnan(differences)]
    folds = len(d)
    if folds < 2:
        return None
    factor = 1 / folds + test_to_train
    t = _over(d.mean(), np.sqrt(factor * d.var(ddof=1))).item()
    p = float(2 * stdtr(folds - 1, -abs(t)))
    if d.std() <= ROUNDING * abs(d.mean()):
        p = max(p, equal_signs(folds))
    return CorrectedT(t, p, factor, folds)


def _p_values(difference: Floats, error: Floats, groups: float, rope: float) -> Floats:
    """Two-sided p of differences no larger than `rope`; 1 where there is no standard error."""
    from scipy.special import stdtr

    beyond = np.abs(difference) - rope
    tested = (beyond > 0) & ~np.isnan(error)
    p = np.ones(len(difference))
    p[tested] = 2 * stdtr(groups - 1, -_over(beyond[tested], error[tested]))
    return p


def _not_yet_seen(difference: Floats, terms: Terms) -> tuple[Floats, Floats]:
    """Interval of differences that all groups show; none of nats and days."""
    if terms.unseen is None:
        return np.full_like(difference, np.nan), np.full_like(difference, np.nan)
    return terms.unseen.interval(difference, 1 - LEVEL)


def _p_without_spread(difference: Floats, rope: float, terms: Terms) -> Floats:
    """Two-sided p of differences no larger than `rope` that all groups show."""
    if terms.unseen is None:
        return np.where(np.abs(difference) > rope, equal_signs(terms.effective), 1.0)
    return terms.unseen.p_value(difference, rope)


def _over(value: Floats, error: Floats) -> Floats:
    """`value / error`; infinite where only the error is 0, 0 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, value / error)
