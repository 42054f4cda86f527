"""Two rows on the same groups and the same draws: the paired difference and its verdict."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from backbench.errors import MetricError, unknown
from backbench.metrics.evidence import Evidence, Floats
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.pairing import differences, order_like
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import bootstrap
from backbench.metrics.separation import Comparison, Drawn, Terms, judge, separate
from backbench.metrics.table import FOLD_MEAN, Metric, resolve
from backbench.metrics.uncertainty import DRAWS, seed_values


def compare(
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
    test_to_train: float | None = None,
) -> Comparison:
    """Compare two rows on the same resamples of their common groups.

    Args:
        a: predictions of one row.
        b: predictions of the same samples by the other, in any order.
        metric: see `resolve`.
        draws: resamples of the groups.
        seed: of the resampling.
        rope: half-width of the region of practical equivalence, in units of the metric.
        test_to_train: n_test / n_train of a fold, for the correction; None takes what the
            predictions say, or else everything that a fold does not test as its training set; a
            single split whose training set is not known gets no correction.

    Raises:
        MetricError: an unknown metric, a negative rope, or rows that cannot be paired (names what
            differs).
    """
    made = compare_pairs(
        {"a": a, "b": b},
        [("a", "b")],
        metric,
        draws=draws,
        seed=seed,
        rope=rope,
        test_to_train=test_to_train,
    )
    return made["a", "b"]


def compare_to(
    reference: str,
    rows: Mapping[str, Predictions],
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
    test_to_train: float | None = None,
) -> dict[str, Comparison]:
    """Every other row against `reference`, Holm-adjusted over all of them.

    Raises:
        MetricError: as `compare`, or `reference` is no row.
    """
    if reference not in rows:
        raise MetricError(unknown("row", reference, rows))
    pairs = [(name, reference) for name in rows if name != reference]
    made = compare_pairs(
        rows, pairs, metric, draws=draws, seed=seed, rope=rope, test_to_train=test_to_train
    )
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
    test_to_train: float | None = None,
) -> dict[tuple[str, str], Comparison]:
    """The comparisons asked for, on common draws, Holm-adjusted over all of them.

    Raises:
        MetricError: as `compare`.
    """
    if not rope >= 0:
        raise MetricError(f"rope is {rope}; it is a size, 0 or more, in units of the metric.")
    if not pairs:
        return {}
    rows = align(rows)
    first = next(iter(rows.values()))
    resolved, groups = resolve(metric, first.classes), len(first.group_names)
    drawn = _draw(rows, resolved, draws, seed)
    terms = Terms(resolved, groups, _test_to_train(first, test_to_train), rope)
    place = {name: number for number, name in enumerate(rows)}
    at = [(place[a], place[b]) for a, b in pairs]
    return dict(zip(pairs, judge(separate(drawn, at, terms)), strict=True))


def align(rows: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """All rows in one order of samples, that of their ids.

    Raises:
        MetricError: two rows cannot be paired; names them and what differs.
    """
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


def _test_to_train(row: Predictions, given: float | None) -> float:
    """n_test / n_train of a fold; 0 for a single split where nobody says."""
    known = row.test_to_train if given is None else given
    if known is not None:
        return known
    return 1 / (row.folds - 1) if row.folds > 1 else 0.0


def _draw(rows: Mapping[str, Predictions], metric: Metric, draws: int, seed: int) -> Drawn:
    evidence = [Evidence.of(row) for row in rows.values()]
    evaluators = [metric.kernel(one) for one in evidence]
    groups = evidence[0].cells
    return Drawn(
        value=np.array([float(evaluate(np.ones((1, groups)))[0]) for evaluate in evaluators]),
        draws=bootstrap(evaluators, groups, draws=draws, seed=seed),
        by_fold=np.stack([_by_fold(row, metric) for row in rows.values()]),
        by_seed=[np.array(seed_values(row, metric)) for row in rows.values()],
    )


def _by_fold(row: Predictions, metric: Metric) -> Floats:
    pooled = resolve(metric.name.removesuffix(FOLD_MEAN), row.classes)
    return np.array(list(fold_values(pooled.kernel, Evidence.of(row)).values()))
