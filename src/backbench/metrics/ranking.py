"""Ranks that say what the data cannot separate: "1-3" for three rows that may each be first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backbench.errors import MetricError
from backbench.metrics.comparison import all_pairs, compare_pairs
from backbench.metrics.comparisons import Comparisons
from backbench.metrics.predictions import Predictions
from backbench.metrics.separation import BETTER, WORSE
from backbench.metrics.uncertainty import DRAWS


@dataclass(frozen=True)
class Ranked:
    """One row's place.

    Attributes:
        name: of the row.
        value: of the metric.
        rank: dense: 1 for the leader and every row not separated from it, 2 for the best row
            separated from the leader and every row not separated from that one, and so on.
        first, last: the places that the row may have: 1 + the number of rows that are better than
            it, and the number of rows less those that it is better than.
        better_than, worse_than: rows separated from it, sorted by name.
    """

    name: str
    value: float
    rank: int
    first: int
    last: int
    better_than: tuple[str, ...]
    worse_than: tuple[str, ...]


def rank(
    rows: Mapping[str, Predictions],
    metric: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    rope: float = 0.0,
    test_to_train: float | None = None,
) -> list[Ranked]:
    """Rows from the best to the worst, with the places that each may have.

    All pairs are compared (`compare_pairs`, Holm over all of them), so the places of all rows
    together are right with at least 95% probability (Mogstad et al. 2024). Independent of the
    order of `rows`; an undefined metric comes last.

    Raises:
        MetricError: as `compare`, or no rows.
    """
    if not rows:
        raise MetricError("there are no rows to rank; give one at least.")
    made = compare_pairs(
        rows,
        all_pairs(rows),
        metric,
        draws=draws,
        seed=seed,
        rope=rope,
        test_to_train=test_to_train,
    )
    return ranked(made)


def ranked(made: Comparisons) -> list[Ranked]:
    """The places that follow from comparisons of all pairs."""
    values = dict(zip(made.names, made.rows.value.tolist(), strict=True))
    beaten = _beaten(made)
    higher = made.terms.metric.higher_is_better
    order = sorted(values, key=lambda name: (_best_first(values[name], higher=higher), name))
    dense = _dense(order, beaten)
    better = {name: tuple(sorted(o for o in order if name in beaten[o])) for name in order}
    return [
        Ranked(
            name=name,
            value=values[name],
            rank=dense[name],
            first=1 + len(better[name]),
            last=len(order) - len(beaten[name]),
            better_than=tuple(sorted(beaten[name])),
            worse_than=better[name],
        )
        for name in order
    ]


def _best_first(value: float, *, higher: bool) -> float:
    """A key that sorts the best value first and NaN last."""
    if np.isnan(value):
        return float("inf")
    return -value if higher else value


def _beaten(made: Comparisons) -> dict[str, set[str]]:
    beaten: dict[str, set[str]] = {name: set() for name in made.names}
    for (a, b), verdict in zip(made, made.separated.verdict.tolist(), strict=True):
        if verdict == BETTER:
            beaten[a].add(b)
        elif verdict == WORSE:
            beaten[b].add(a)
    return beaten


def _dense(order: list[str], beaten: Mapping[str, set[str]]) -> dict[str, int]:
    dense: dict[str, int] = {}
    place, leader = 0, ""
    for name in order:
        if not leader or name in beaten[leader]:
            place, leader = place + 1, name
        dense[name] = place
    return dense
