"""Series as the batches of the `stress` network: scaled by the training rows, packed, padded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from warnings import catch_warnings

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.heads.matrix import check_finite
from backbench.heads.settings import StressSettings
from backbench.heads.stress_network import IMAGE, Batch, encoding
from backbench.heads.unit import Floats
from backbench.samples.series import ABSENT, Channel, Series

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]
Tensor = torch.Tensor
Values = Mapping[str, Tensor]
_RESOLUTION = 1e-7
"""A value that varies less than this, relative to its size, is constant in float32."""


@dataclass(frozen=True)
class Course:
    """What all units share: a `Series` as far as training looks at it, features and settings."""

    X: Floats
    day: Doubles
    y: Rows
    scored: Flags
    picture: Rows
    channels: Mapping[str, Channel]
    settings: StressSettings

    @classmethod
    def of(cls, X: Floats, series: Series, settings: StressSettings) -> "Course":
        """The channels that the settings name, and those that say which steps are there."""
        channels = {
            name: channel
            for name, channel in series.channels.items()
            if name in (*settings.modalities, *settings.sparse)
        }
        return cls(X, series.day, series.y, series.scored, series.picture, channels, settings)

    @property
    def measured(self) -> tuple[str, ...]:
        """The modalities that are channels."""
        return tuple(name for name in self.settings.modalities if name != IMAGE)

    @property
    def widths(self) -> dict[str, int]:
        """Numbers that each modality has a step."""
        return {IMAGE: self.X.shape[1]} | {
            name: self.channels[name].width for name in self.measured
        }

    @property
    def observed(self) -> dict[str, Flags]:
        """Where each sparse modality was observed `[N, T]`."""
        imaged = (self.picture != ABSENT).any(2)
        sparse = self.settings.sparse
        return {n: imaged if n == IMAGE else self.channels[n].observed for n in sparse}

    def fit(self, train: Rows) -> dict[str, "Scaling"]:
        """The scaling of each channel by training rows."""
        return {name: Scaling.fit(self.channels[name], train) for name in self.measured}


@dataclass(frozen=True)
class Scaling:
    """What a channel is standardised with: `(x - mean) * scale`, and 0 where x is missing.

    Attributes:
        mean: of what was observed in training, float64 `[d]`; what stands for a missing value.
        scale: 1 / standard deviation, float64 `[d]`; 0 where training says nothing.
    """

    mean: Doubles
    scale: Doubles

    @classmethod
    def fit(cls, channel: Channel, train: Rows) -> "Scaling":
        """Moments of the finite values that were observed in the training rows alone."""
        known = _known(channel)[train]
        values = np.where(known, channel.values[train], 0).astype(np.float64)
        count = np.maximum(known.sum((0, 1)), 1)
        mean = values.sum((0, 1)) / count
        std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum((0, 1)) / count)
        varies = std > _RESOLUTION * np.maximum(np.abs(mean), 1e-30)
        return cls(mean, varies / np.where(varies, std, 1.0))

    def apply(self, channel: Channel) -> NDArray[np.float32]:
        """Standardised values `[N, T, d]`."""
        values = np.where(_known(channel), channel.values, self.mean)
        scaled: NDArray[np.float32] = ((values - self.mean) * self.scale).astype(np.float32)
        return scaled


def _known(channel: Channel) -> Flags:
    known: Flags = channel.observed[..., None] & np.isfinite(channel.values)
    return known


class Steps(NamedTuple):
    """Steps of B samples, L of each, in order of time; samples with fewer are padded.

    Attributes:
        where: sample n and step t as one number, n * T + t, int64 `[B, L]`.
        scored: which count in the loss, bool `[B, L]`; padding does not.
        attended: which may be looked at, bool `[B, L]`; padding may not.
    """

    where: Tensor
    scored: Tensor
    attended: Tensor


class Plants:
    """The samples of a course as tensors on a device; each fold scales the channels its own way.

    Attributes:
        kept: how many steps packing keeps of each sample, int64 `[N]`.
    """

    def __init__(self, course: Course, device: str = "cpu") -> None:
        self.course, self.device, self.steps = course, device, len(course.day)
        with catch_warnings(action="ignore"):  # of a memory map that may not be written to
            self._X = torch.from_numpy(course.X).to(device)
        self._time = encoding(torch.tensor(course.day), course.settings.width).to(device)
        attended = np.logical_or.reduce([*course.observed.values()])
        kept = course.scored | attended
        self.kept, order = kept.sum(1), np.argsort(~kept, axis=1, kind="stable")
        self._kept, self._order = self._put(self.kept), self._put(order)
        self._scored, self._attended = self._put(course.scored), self._put(attended)
        self._y = self._put(course.y.astype(np.float32)).flatten()
        self._missing = {n: self._put(~seen).flatten() for n, seen in course.observed.items()}
        self._picture = self._put(course.picture).flatten(0, 1)
        self._any = int(course.picture.max(initial=0))  # is read where there is no picture

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def scaled(self, scaling: Mapping[str, Scaling]) -> Values:
        """Values of each channel, standardised `[N * T, d]`."""
        channels = self.course.channels
        return {n: self._put(s.apply(channels[n])).flatten(0, 1) for n, s in scaling.items()}

    def all_steps(self, rows: Tensor) -> Steps:
        """Every step of the rows `[B]`, T of them."""
        where = rows[:, None] * self.steps + torch.arange(self.steps, device=self.device)
        return Steps(where, self._scored[rows], self._attended[rows])

    def packed(self, rows: Tensor, length: int) -> Steps:
        """Only steps that count or that others may look at: nothing else has a say in the loss.

        Args:
            rows: samples `[B]`.
            length: the most steps that any of them keeps, or more.
        """
        at = self._order[rows][:, :length]
        real = torch.arange(length, device=self.device) < self._kept[rows][:, None]
        scored, attended = (f[rows].gather(1, at) & real for f in (self._scored, self._attended))
        return Steps(rows[:, None] * self.steps + at, scored, attended)

    def batch(self, steps: Steps, values: Values) -> Batch:
        """What the network is given."""
        where = steps.where
        picture = _take(self._picture, where)
        return Batch(
            views=self._views(picture),
            seen=picture != ABSENT,
            values={name: _take(of_channel, where) for name, of_channel in values.items()},
            missing={name: _take(flags, where) for name, flags in self._missing.items()},
            time=_take(self._time, where % self.steps),
            attended=steps.attended,
        )

    def labels(self, steps: Steps) -> Tensor:
        """1 or 0 at each step, float32 `[B, L]`."""
        return _take(self._y, steps.where)

    def _views(self, picture: Tensor) -> Tensor:
        """Vectors of pictures `[..., V]` as `[..., V, D]`, float32; zeros where there is none."""
        if IMAGE not in self.course.settings.modalities:
            picture = picture[..., :0]
        absent = picture == ABSENT
        views = _take(self._X, torch.where(absent, self._any, picture)).float()
        return views.masked_fill_(absent.unsqueeze(-1), 0)


def _take(source: Tensor, rows: Tensor) -> Tensor:
    """Rows of any shape of the source."""
    return source.index_select(0, rows.flatten()).view(*rows.shape, *source.shape[1:])


def check_pictures(X: Floats, picture: Rows, size: int = 1024) -> None:
    """Refuse vectors of pictures that are not finite.

    Raises:
        HeadError: names the first such row.
    """
    rows = np.unique(picture[picture != ABSENT])
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        check_finite(X[part], part)
