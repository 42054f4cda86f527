"""Two rows on the same groups and the same draws: the paired difference and its verdict."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import isclose

import numpy as np

from backbench.errors import MetricError
from backbench.files.kept import Kept
from backbench.metrics.comparisons import Comparisons
from backbench.metrics.effective import effective_groups
from backbench.metrics.pairing import differences, ordered_like
from backbench.metrics.predictions import Predictions
from backbench.metrics.recall import Drawing, recall
from backbench.metrics.separation import Comparison, Terms, separate
from backbench.metrics.table import resolve
from backbench.metrics.uncertainty import DRAWS
from backbench.metrics.unseen import Unseen


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
            predictions say, of either row, or else everything that a fold does not test as its
            training set; a single split whose training set is not known gets no correction.

    Raises:
        MetricError: an unknown metric, a negative rope, or rows that cannot be paired or trained
            on sets of other sizes (names what differs).
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
    kept: Kept | None = None,
) -> Comparisons:
    """The comparisons asked for, on common draws, Holm-adjusted over all of them.

    Args:
        rows: name -> predictions, one at least.
        pairs: names of the rows to compare.
        metric: see `resolve`.
        draws: resamples of the groups.
        seed: of the resampling.
        rope: as in `compare`.
        test_to_train: as in `compare`.
        kept: where values and draws of rows compared before are found, and new ones left; the
            answer is the same with and without it.

    Raises:
        MetricError: as `compare`, or no rows.
    """
    if not rope >= 0:
        raise MetricError(f"rope is {rope}; it is a size, 0 or more, in units of the metric.")
    if not rows:
        raise MetricError("there are no rows to compare; give one at least.")
    rows = align(rows)
    first = next(iter(rows.values()))
    drawing = Drawing(resolve(metric, first.classes), draws, seed)
    place = {name: number for number, name in enumerate(rows)}
    at = np.array([(place[a], place[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    values, apart = recall(list(rows.values()), at, drawing, kept)
    ratio = _test_to_train(rows, test_to_train)
    unseen = Unseen.of(first, drawing.metric) if drawing.metric.unit == "share" else None
    effective = effective_groups(first, drawing.metric)
    terms = Terms(drawing.metric, len(first.group_names), effective, ratio, rope, unseen)
    return Comparisons(tuple(rows), at, values, separate(values, at, apart, terms), terms)


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
    return {name: ordered_like(by_id, row) for name, row in rows.items()}


def _test_to_train(rows: Mapping[str, Predictions], given: float | None) -> float:
    """n_test / n_train of a fold; 0 for a single split where nobody says.

    Raises:
        MetricError: two rows say different things; names them.
    """
    if given is not None:
        return given
    said = {name: row.test_to_train for name, row in rows.items() if row.test_to_train is not None}
    if not said:
        folds = next(iter(rows.values())).folds
        return 1 / (folds - 1) if folds > 1 else 0.0
    least, most = min(said, key=said.__getitem__), max(said, key=said.__getitem__)
    if not isclose(said[least], said[most]):
        raise MetricError(
            f"rows '{least}' and '{most}' were trained on sets of other sizes: test_to_train is "
            f"{said[least]:g} and {said[most]:g}. Compare rows of one protocol, or give "
            "test_to_train."
        )
    return said[most]
