"""Samples that are watched over time: pictures, measurements and a label at each of T steps."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backbench.samples.samples import Samples

Rows = NDArray[np.int64]
ABSENT = -1
"""In `Series.picture`: there is no such picture."""


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
        classes: names of the classes of a step, in the order of their codes.
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
    classes: tuple[str, ...] = ("0", "1")

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    def subset(self, rows: Rows) -> "Series":
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

    def relabelled(self, order: Rows) -> "Series":
        """Sample i with the labels of sample `order[i]`, over all steps; what was seen stays."""
        return replace(self, y=self.y[order], onset=self.onset[order])

    def with_pictures(self, rows: Rows) -> "Series":
        """Only these pictures, numbered anew in this order; the others are absent."""
        if len(rows) == len(self.pictures):
            return self
        number = np.full(len(self.pictures) + 1, ABSENT, np.int64)  # the last one is for ABSENT
        number[rows] = np.arange(len(rows))
        return replace(self, pictures=self.pictures.subset(rows), picture=number[self.picture])

    def pictures_of(self, rows: Rows) -> Rows:
        """Row numbers of the pictures of these samples, sorted."""
        shown = self.picture[rows]
        return np.sort(shown[shown != ABSENT])

    def digest(self, order: Rows, contents: Mapping[str, str]) -> bytes:
        """SHA-256 over steps, labels, measurements and the contents of pictures.

        Args:
            order: of the samples, so that the digest does not depend on their own.
            contents: content hash by id of the picture; pictures that are not in it count as lost.
        """
        one = self.subset(order)
        ids = [ident for ident in self.pictures.ids.tolist() if ident in contents]
        seen = sorted(f"{ident}:{contents[ident]}" for ident in ids)
        digest = hashlib.sha256("\n".join([*self.steps, "", *self.classes, "", *seen]).encode())
        for part in (one.day, one.y, one.scored, one.onset):
            digest.update(np.ascontiguousarray(part).tobytes())
        for name, channel in sorted(one.channels.items()):
            plain = np.where(np.isnan(channel.values), np.float32(np.nan), channel.values)
            digest.update(name.encode() + plain.tobytes() + channel.observed.tobytes())
        return digest.digest()
