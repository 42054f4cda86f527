"""Ranks that say what the data cannot separate: "1-3" for three rows that may each be first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backbench.errors import MetricError
from backbench.metrics.comparison import all_pairs, compare_pairs
from backbench.metrics.evidence import Evidence
from backbench.metrics.predictions import Predictions
from backbench.metrics.separation import Comparison
from backbench.metrics.table import resolve
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

    @property
    def label(self) -> str:
        """`1` or `1-3`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


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
    pairs = all_pairs(rows)
    if not rows:
        raise MetricError("there are no rows to rank; give one at least.")
    made = compare_pairs(
        rows, pairs, metric, draws=draws, seed=seed, rope=rope, test_to_train=test_to_train
    )
    return ranked(rows, metric, made)


def ranked(
    rows: Mapping[str, Predictions],
    metric: str,
    comparisons: Mapping[tuple[str, str], Comparison],
) -> list[Ranked]:
    """The places that follow from comparisons of all pairs."""
    values = {name: _value(row, metric) for name, row in rows.items()}
    beaten = _beaten(rows, comparisons)
    order = sorted(rows, key=lambda name: (_worst_first(values[name], rows, metric), name))
    dense = _dense(order, beaten)
    return [
        Ranked(
            name=name,
            value=values[name],
            rank=dense[name],
            first=1 + sum(name in losers for losers in beaten.values()),
            last=len(rows) - len(beaten[name]),
            better_than=tuple(sorted(beaten[name])),
            worse_than=tuple(sorted(other for other in rows if name in beaten[other])),
        )
        for name in order
    ]


def _value(row: Predictions, metric: str) -> float:
    evidence = Evidence.of(row)
    kernel = resolve(metric, row.classes).kernel
    return float(kernel(evidence)(np.ones((1, evidence.cells)))[0])


def _worst_first(value: float, rows: Mapping[str, Predictions], metric: str) -> float:
    """A key that sorts the best value first and NaN last."""
    if np.isnan(value):
        return float("inf")
    classes = next(iter(rows.values())).classes
    return -value if resolve(metric, classes).higher_is_better else value


def _beaten(
    names: Mapping[str, Predictions], comparisons: Mapping[tuple[str, str], Comparison]
) -> dict[str, set[str]]:
    beaten: dict[str, set[str]] = {name: set() for name in names}
    for (a, b), one in comparisons.items():
        if one.verdict == "better":
            beaten[a].add(b)
        elif one.verdict == "worse":
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
