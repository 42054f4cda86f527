"""A row of the board."""

from collections.abc import Mapping
from dataclasses import dataclass

from backbench.leaderboard.entry import Entry
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.words import rank_text
from backbench.metrics import Comparison, Estimate, Predictions


@dataclass(frozen=True, eq=False)
class Row:
    """A ranked entry.

    Attributes:
        name: unique on the board.
        entry: the run.
        first, last: the places that the row may have.
        estimates: metric -> value with interval.
        to_best: the row against the first one; None for the first one itself.
        guards: those of the run and those of the board, worst first.
    """

    name: str
    entry: Entry
    first: int
    last: int
    estimates: Mapping[str, Estimate]
    to_best: Comparison | None
    guards: tuple[Guard, ...]

    @property
    def rank(self) -> str:
        """`2`, or `1-3` where the data cannot separate the places."""
        return rank_text(self.first, self.last)

    @property
    def faults(self) -> list[str]:
        """Names of guards that fired and keep the row from becoming champion."""
        return [guard.name for guard in self.guards if guard.severity == "fault"]

    @property
    def flagged(self) -> bool:
        """Whether there are such faults."""
        return bool(self.faults)

    @property
    def predictions(self) -> Predictions:
        """Out-of-fold predictions; a ranked row always has them."""
        assert self.entry.predictions is not None
        return self.entry.predictions
