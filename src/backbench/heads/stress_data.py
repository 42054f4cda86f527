"""Series as the batches of the `stress` network: scaled by the training rows, packed, padded."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.heads.settings import StressSettings
from backbench.heads.stress_network import IMAGE, SPARSE, Batch, encoding
from backbench.heads.unit import Floats
from backbench.samples.series import ABSENT, Channel, Series

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]
Tensor = torch.Tensor
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
            if name in settings.modalities or name in SPARSE
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
        seen = {IMAGE: (self.picture != ABSENT).any(2)}
        return seen | {n: c.observed for n, c in self.channels.items() if n in SPARSE}

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


@dataclass(frozen=True)
class Steps:
    """Steps of some samples, padded.

    Attributes:
        rows: the samples `[B]`.
        at: step numbers `[B, L]`, in order of time.
        scored: which count in the loss `[B, L]`; padding does not.
        attended: which may be looked at `[B, L]`; padding may not.
    """

    rows: Rows
    at: Rows
    scored: Flags
    attended: Flags


class Plants:
    """The samples of a course under the scaling of a fold."""

    def __init__(self, course: Course, scaling: Mapping[str, Scaling]) -> None:
        self.course, self.scaling, self.steps = course, scaling, len(course.day)
        self.values = {
            name: torch.from_numpy(scaling[name].apply(course.channels[name])).flatten(0, 1)
            for name in course.measured
        }
        self.missing = {
            name: torch.from_numpy(~there).flatten() for name, there in course.observed.items()
        }
        self.attended = np.logical_or.reduce([*course.observed.values()])
        self.time = encoding(torch.tensor(course.day), course.settings.width)
        kept = course.scored | self.attended
        self.count, self.order = kept.sum(1), np.argsort(~kept, axis=1, kind="stable")

    def all_steps(self, rows: Rows) -> Steps:
        """Every step, T of them."""
        at = np.broadcast_to(np.arange(self.steps), (len(rows), self.steps))
        return Steps(rows, at, self.course.scored[rows], self.attended[rows])

    def packed(self, rows: Rows) -> Steps:
        """Only steps that count or that others may look at: nothing else has a say in the loss."""
        at = self.order[rows, : self.count[rows].max()]
        real, who = np.arange(at.shape[1]) < self.count[rows, None], rows[:, None]
        return Steps(rows, at, self.course.scored[who, at] & real, self.attended[who, at] & real)

    def batch(self, steps: Steps) -> Batch:
        """What the network is given."""
        picture = self.course.picture[steps.rows[:, None], steps.at]
        index = torch.from_numpy((steps.rows[:, None] * self.steps + steps.at).reshape(-1))
        shape = steps.at.shape
        return Batch(
            views=self._views(picture),
            seen=torch.from_numpy(picture != ABSENT),
            values={n: v.index_select(0, index).view(*shape, -1) for n, v in self.values.items()},
            missing={n: m.index_select(0, index).view(shape) for n, m in self.missing.items()},
            time=self.time[torch.from_numpy(np.ascontiguousarray(steps.at))],
            attended=torch.from_numpy(np.ascontiguousarray(steps.attended)),
        )

    def labels(self, steps: Steps) -> Tensor:
        """1 or 0 at each step, float32 `[B, L]`."""
        y = self.course.y[steps.rows[:, None], steps.at]
        return torch.from_numpy(y.astype(np.float32))

    def _views(self, picture: Rows) -> Tensor:
        """Vectors `[..., D]`, float32; 0 where there is no picture or none is looked at."""
        X, there = self.course.X, picture != ABSENT
        if IMAGE not in self.course.settings.modalities:
            return torch.empty((*picture.shape[:-1], 0, X.shape[1]))
        vectors = np.zeros((*picture.shape, X.shape[1]), np.float32)
        vectors[there] = X[picture[there]]
        return torch.from_numpy(vectors)


def check_finite(X: Floats, picture: Rows, size: int = 1024) -> None:
    """Refuse vectors of pictures that are not finite.

    Raises:
        HeadError: names the first such row.
    """
    rows = np.unique(picture[picture != ABSENT])
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        finite = np.isfinite(X[part]).all(1)
        if not finite.all():
            raise HeadError(
                f"row {part[~finite][0]} of the features has NaN or infinite values; extract the "
                "features again, or leave that picture out."
            )
