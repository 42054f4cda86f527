"""Two rows on the same groups: the paired difference, and whether the data separates them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbench.errors import MetricError, unknown
from backbench.metrics.evidence import Evidence
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.predictions import Predictions, differences, order_like
from backbench.metrics.resampling import bootstrap
from backbench.metrics.table import FOLD_MEAN, Metric, resolve
from backbench.metrics.uncertainty import DRAWS, LEVEL, seed_values

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
        low, high: 95% interval of the difference; NaN with one group.
        standard_error: of the difference, from the draws, times sqrt(G / (G - 1)).
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
        corrected_t: None with fewer than 2 folds where both have a value.
    """

    metric: str
    difference: float
    low: float
    high: float
    standard_error: float
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


def compare(
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
) -> Comparison:
    """Compare two rows on the same resamples of their common groups.

    Args:
        a: predictions of one row.
        b: predictions of the same samples by the other, in any order.
        metric: see `resolve`.
        draws: resamples of the groups.
        seed: of the resampling.
        rope: half-width of the region of practical equivalence, in units of the metric.

    Raises:
        MetricError: an unknown metric, a negative rope, or rows that cannot be paired (names what
            differs).
    """
    return compare_pairs({"a": a, "b": b}, [("a", "b")], metric, draws=draws, seed=seed, rope=rope)[
        "a", "b"
    ]


def compare_to(
    reference: str,
    rows: Mapping[str, Predictions],
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
) -> dict[str, Comparison]:
    """Every other row against `reference`, Holm-adjusted over all of them.

    Raises:
        MetricError: as `compare`, or `reference` is no row.
    """
    if reference not in rows:
        raise MetricError(unknown("row", reference, rows))
    pairs = [(name, reference) for name in rows if name != reference]
    made = compare_pairs(rows, pairs, metric, draws=draws, seed=seed, rope=rope)
    return {name: made[name, reference] for name, _ in pairs}


def all_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each two of the names once, sorted."""
    return list(combinations(sorted(names), 2))


def compare_pairs(
    rows: Mapping[str, Predictions],
    pairs: Sequence[tuple[str, str]],
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
) -> dict[tuple[str, str], Comparison]:
    """The comparisons asked for, on common draws, Holm-adjusted over all of them.

    Raises:
        MetricError: as `compare`.
    """
    if not rope >= 0:
        raise MetricError(f"rope is {rope}; it is a size, 0 or more, in units of the metric.")
    if not pairs:
        return {}
    rows = _paired(rows)
    resolved = resolve(metric, next(iter(rows.values())).classes)
    measured = _drawn(rows, resolved, draws, seed)
    made = {(a, b): _compare(measured[a], measured[b], resolved, rope) for a, b in pairs}
    adjusted = holm([one.p_adjusted for one in made.values()])
    return {
        pair: _judge(one, float(p), len(made))
        for (pair, one), p in zip(made.items(), adjusted, strict=True)
    }


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Step-down adjusted p-values (Holm 1979): at most `alpha` of ever rejecting a true null."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def corrected_resampled_t(
    differences_by_fold: NDArray[np.float64], test_to_train: float
) -> CorrectedT | None:
    """Nadeau and Bengio 2003, with J folds and n_test / n_train = `test_to_train`."""
    from scipy.special import stdtr

    d = differences_by_fold[~np.isnan(differences_by_fold)]
    if len(d) < 2:
        return None
    factor = 1 / len(d) + test_to_train
    t = _over(float(d.mean()), float(np.sqrt(factor * d.var(ddof=1))))
    return CorrectedT(t, float(2 * stdtr(len(d) - 1, -abs(t))), factor, len(d))


def pair(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions]:
    """Both rows in one order of samples.

    Raises:
        MetricError: they cannot be paired; names what differs.
    """
    rows = _paired({"a": a, "b": b})
    return rows["a"], rows["b"]


# --- inside --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Measured:
    """What every comparison needs of a row, computed once however many pairs it is in."""

    value: float
    draws: NDArray[np.float64]
    per_seed: tuple[float, ...]
    per_fold: NDArray[np.float64]
    groups: int
    test_to_train: float


def _paired(rows: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """All rows in the sample order of the first by name, or an error that says what differs."""
    first = min(rows)
    for name, row in rows.items():
        found = differences(rows[first], row)
        if found:
            raise MetricError(
                f"rows '{first}' and '{name}' cannot be paired; they differ in "
                f"{' and '.join(found)}. Compare rows of one protocol only."
            )
    by_id = rows[first].take(np.argsort(rows[first].sample_id))
    return {name: row.take(order_like(by_id, row)) for name, row in rows.items()}


def _drawn(
    rows: Mapping[str, Predictions], metric: Metric, draws: int, seed: int
) -> dict[str, _Measured]:
    evidence = [Evidence.of(row) for row in rows.values()]
    evaluators = [metric.kernel(one) for one in evidence]
    groups = evidence[0].cells
    values = bootstrap(evaluators, groups, draws=draws, seed=seed)
    points = [float(evaluate(np.ones((1, groups)))[0]) for evaluate in evaluators]
    return {
        name: _measure(row, metric, point, drawn)
        for (name, row), point, drawn in zip(rows.items(), points, values, strict=True)
    }


def _measure(
    row: Predictions, metric: Metric, value: float, draws: NDArray[np.float64]
) -> _Measured:
    pooled = resolve(metric.name.removesuffix(FOLD_MEAN), row.classes)
    test = len(row) / row.folds
    return _Measured(
        value,
        draws,
        seed_values(row, metric),
        np.array(list(fold_values(pooled.kernel, Evidence.of(row)).values())),
        len(row.group_names),
        test / (len(row) - test) if row.folds > 1 else 0.0,
    )


def _compare(a: _Measured, b: _Measured, metric: Metric, rope: float) -> Comparison:
    groups, difference, spread = a.groups, a.value - b.value, a.draws - b.draws
    spread = spread[~np.isnan(spread)]
    error, reach = _standard_error(spread, groups), _reach(groups)
    return Comparison(
        metric=metric.name,
        difference=difference,
        low=difference - reach * error,
        high=difference + reach * error,
        standard_error=error,
        p_value=_p_value(difference, error, groups, 0.0),
        p_adjusted=_p_value(difference, error, groups, rope),
        family=1,
        superiority=_superiority(spread if metric.higher_is_better else -spread),
        verdict="not separated",
        rope=rope,
        groups=groups,
        seed_std=_seed_std(a, b),
        corrected_t=corrected_resampled_t(a.per_fold - b.per_fold, a.test_to_train),
        higher_is_better=metric.higher_is_better,
    )


def _judge(one: Comparison, p_adjusted: float, family: int) -> Comparison:
    verdict: Verdict = "not separated"
    if p_adjusted < 1 - LEVEL:
        verdict = "better" if (one.difference > 0) == one.higher_is_better else "worse"
    elif one.rope > 0 and -one.rope <= one.low and one.high <= one.rope:
        verdict = "equivalent"
    return replace(one, p_adjusted=p_adjusted, family=family, verdict=verdict)


def _standard_error(spread: NDArray[np.float64], groups: int) -> float:
    if groups < 2 or len(spread) < 2:
        return float("nan")
    return float(spread.std(ddof=1) * np.sqrt(groups / (groups - 1)))


def _reach(groups: int) -> float:
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


def _superiority(spread: NDArray[np.float64]) -> float:
    return float(((spread > 0) + 0.5 * (spread == 0)).mean()) if spread.size else float("nan")


def _seed_std(a: _Measured, b: _Measured) -> float:
    if len(a.per_seed) != len(b.per_seed) or len(a.per_seed) < 2:
        return float("nan")
    return float(np.std(np.subtract(a.per_seed, b.per_seed), ddof=1))
