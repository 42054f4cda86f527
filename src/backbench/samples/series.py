"""Samples that are watched over time: pictures, measurements and a label at each of T steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backbench.samples.samples import Samples

ABSENT = -1
"""In `Series.views`: there is no such picture."""


@dataclass(frozen=True)
class Channel:
    """A measured vector of each sample at each step, as measured: neither scaled nor filled in.

    Attributes:
        values: float32 `[N, T, d]`, NaN where a value is missing.
        observed: whether anything was measured, bool `[N, T]`.
    """

    values: NDArray[np.float32]
    observed: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """The number of values a step, d."""
        return int(self.values.shape[2])


@dataclass(frozen=True)
class Series:
    """What is known of N samples at T steps.

    Attributes:
        steps: names of the steps (rounds), T of them.
        day: of each step, float64 `[T]`; two steps may share a day.
        y: class code at each step, int64 `[N, T]`.
        scored: the steps that count in training and in metrics, bool `[N, T]`.
        onset: day on which the sample's label turns, float64 `[N]`; NaN where it never does.
        channels: measurements by name.
        views: names of the views, V of them.
        pictures: one row a picture, named `sample/step/view`: what features are extracted from.
        picture: row number in `pictures` of each view, int64 `[N, T, V]`; `ABSENT` where none.
    """

    steps: tuple[str, ...]
    day: NDArray[np.float64]
    y: NDArray[np.int64]
    scored: NDArray[np.bool_]
    onset: NDArray[np.float64]
    channels: Mapping[str, Channel]
    views: tuple[str, ...]
    pictures: "Samples"
    picture: NDArray[np.int64]

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    def subset(self, rows: NDArray[np.int64]) -> "Series":
        """Only these samples, in this order; the pictures stay as they are."""
        channels = {
            name: Channel(c.values[rows], c.observed[rows]) for name, c in self.channels.items()
        }
        return replace(
            self,
            y=self.y[rows],
            scored=self.scored[rows],
            onset=self.onset[rows],
            channels=channels,
            picture=self.picture[rows],
        )
