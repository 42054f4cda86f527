"""Predictions along time: which steps count, and when a series is said to turn."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from backbench.errors import MetricError
from backbench.files.arrays import Arrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where in time each prediction is, one entry a step `[N]`.

    Attributes:
        series: the sample that the step belongs to (a plant), text.
        day: of the step, float64.
        scored: whether the step counts in metrics of decisions, bool.
        onset: day on which the series' label turns, float64; NaN where it never does.

    Raises:
        MetricError: lengths that differ, a day that is not finite, or an onset that differs
            within a series.
    """

    series: NDArray[np.str_]
    day: Floats
    scored: NDArray[np.bool_]
    onset: Floats

    def __post_init__(self) -> None:
        """Bring every field to its type, then check all of them."""
        for field, dtype in zip(
            fields(self), (np.str_, np.float64, np.bool_, np.float64), strict=True
        ):
            object.__setattr__(
                self, field.name, np.asarray(getattr(self, field.name)).astype(dtype)
            )
        if len({len(getattr(self, field.name)) for field in fields(self)}) > 1:
            raise MetricError("a timeline needs series, day, scored and onset of every step.")
        if not np.isfinite(self.day).all():
            raise MetricError("a timeline has steps without a day; every step needs one.")
        _, first, series = np.unique(self.series, return_index=True, return_inverse=True)
        torn = ~_equal(self.onset, self.onset[first][series])
        if torn.any():
            raise MetricError(f"series '{self.series[torn][0]}' has more than one onset.")

    def __len__(self) -> int:
        """N."""
        return len(self.series)

    def take(self, rows: Integers) -> "Timeline":
        """Only these steps, in this order."""
        return Timeline(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to_columns(self, times: int) -> dict[str, NDArray[np.generic]]:
        """The fields as columns, repeated."""
        return {field.name: np.tile(getattr(self, field.name), times) for field in fields(self)}

    @classmethod
    def from_columns(cls, columns: Arrays) -> "Timeline | None":
        """From the columns of a table, None where they are not there."""
        names = [field.name for field in fields(cls)]
        return cls(*(columns[name] for name in names)) if names[0] in columns else None

    def differing(self, other: "Timeline") -> list[str]:
        """Names of the fields that differ."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return [name for name, (a, b) in pairs.items() if not _equal(a, b).all()]


@dataclass(frozen=True, eq=False)
class Turns:
    """How far off each series with an onset was said to turn, M of them.

    Attributes:
        days: |day of the first step that is said to have turned - onset|, float64 `[S, M]`; a
            series that is never said to turn is taken to turn on its last day.
        fold, cell: of each series, int64 `[M]`.
    """

    days: Floats
    fold: Integers
    cell: Integers

    @classmethod
    def of(
        cls, time: Timeline, turned: NDArray[np.bool_], fold: Integers, cell: Integers
    ) -> "Turns":
        """From every step, scored or not.

        Args:
            time: of the steps `[N]`.
            turned: whether the step is said to have turned `[S, N]`.
            fold: of the steps `[N]`.
            cell: of the steps `[N]`.
        """
        _, first, series = np.unique(time.series, return_index=True, return_inverse=True)
        last = np.full(len(first), -np.inf)
        np.maximum.at(last, series, time.day)
        said = np.stack([_first_day(time.day, series, row, last) for row in turned])
        late = ~np.isnan(time.onset[first])
        at = first[late]
        return cls(np.abs(said[:, late] - time.onset[at]), fold[at], cell[at])

    def in_fold(self, fold: int) -> "Turns":
        """Only the series of one fold."""
        at = self.fold == fold
        return Turns(self.days[:, at], self.fold[at], self.cell[at])


def _first_day(day: Floats, series: Integers, turned: NDArray[np.bool_], last: Floats) -> Floats:
    """First day on which each series is said to have turned, else its last `[M]`."""
    first = np.full(len(last), np.inf)
    np.minimum.at(first, series[turned], day[turned])
    return np.where(np.isfinite(first), first, last)


def _equal(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Equal, or both NaN."""
    both: NDArray[np.bool_] = (a == b) | ((a != a) & (b != b))  # noqa: PLR0124 - NaN is unequal to itself
    return both
