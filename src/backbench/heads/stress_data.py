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
Tensor = torch.Tensor
_RESOLUTION = 1e-7
"""A value that varies less than this, relative to its size, is constant in float32."""


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


def _known(channel: Channel) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = channel.observed[..., None] & np.isfinite(channel.values)
    return known


class Pictures:
    """Vectors of the pictures, in memory where they take at most half of the budget."""

    def __init__(self, X: Floats, memory: int) -> None:
        fits = 2 * 4 * X.size <= memory
        self._X = np.array(X, np.float32) if fits else X
        self.width = X.shape[1]

    def take(self, picture: Rows) -> Tensor:
        """Rows of any shape as `[..., D]`, float32; 0 where there is no picture.

        Raises:
            HeadError: a vector that is not finite.
        """
        there = picture != ABSENT
        vectors = np.zeros((*picture.shape, self.width), np.float32)
        vectors[there] = self._X[picture[there]]
        if not np.isfinite(vectors).all():
            raise HeadError(
                f"row {self._spoilt(picture[there])} of the features has NaN or infinite values; "
                "extract the features again, or leave that picture out."
            )
        return torch.from_numpy(vectors)

    def _spoilt(self, rows: Rows) -> int:
        return int(rows[~np.isfinite(self._X[rows]).all(1)][0])


@dataclass(frozen=True)
class Steps:
    """Steps of some samples, padded: where they are, and which of them count.

    Attributes:
        at: step numbers `[B, L]`, in order of time.
        scored: which count in the loss `[B, L]`; padding does not.
        attended: which may be looked at `[B, L]`; padding may not.
    """

    at: Rows
    scored: NDArray[np.bool_]
    attended: NDArray[np.bool_]


class Plants:
    """A series under one fold's scaling.

    Args:
        series: N samples at T steps.
        pictures: vectors of their pictures.
        scaling: of each channel that is wanted.
        settings: of the head.
    """

    def __init__(
        self,
        series: Series,
        pictures: Pictures,
        scaling: Mapping[str, Scaling],
        settings: StressSettings,
    ) -> None:
        self.series, self.pictures = series, pictures
        self.scaling, self.settings = scaling, settings
        self.values = {
            name: torch.from_numpy(of_channel.apply(series.channels[name]))
            for name, of_channel in scaling.items()
        }
        self.observed = observed(series)
        self.attended = np.logical_or.reduce([*self.observed.values()])
        self.time = encoding(torch.from_numpy(series.day), settings.width)
        self.sees = IMAGE in settings.modalities

    def all_steps(self, rows: Rows) -> Steps:
        """Every step, T of them."""
        at = np.broadcast_to(np.arange(len(self.series.steps)), (len(rows), len(self.series.steps)))
        return Steps(at, self.series.scored[rows], self.attended[rows])

    def packed(self, rows: Rows) -> Steps:
        """Only steps that count or that others may look at: nothing else has a say in the loss."""
        scored, attended = self.series.scored[rows], self.attended[rows]
        kept = scored | attended
        at = np.argsort(~kept, axis=1, kind="stable")[:, : kept.sum(1).max()]
        real = np.take_along_axis(kept, at, 1)
        scored, attended = (np.take_along_axis(flags, at, 1) for flags in (scored, attended))
        return Steps(at, scored & real, attended & real)

    def batch(self, rows: Rows, steps: Steps) -> Batch:
        """What the network is given for these steps of these rows."""
        who = rows[:, None]
        picture = self.series.picture[who, steps.at]
        plant, step = torch.from_numpy(who), torch.from_numpy(np.ascontiguousarray(steps.at))
        return Batch(
            views=self.pictures.take(picture if self.sees else picture[..., :0]),
            seen=torch.from_numpy(picture != ABSENT),
            values={name: values[plant, step] for name, values in self.values.items()},
            missing={n: torch.from_numpy(~o[who, steps.at]) for n, o in self.observed.items()},
            time=self.time[step],
            attended=torch.from_numpy(np.ascontiguousarray(steps.attended)),
        )

    def labels(self, rows: Rows, steps: Steps) -> Tensor:
        """1 or 0 at each of the steps, float32 `[B, L]`."""
        return torch.from_numpy(self.series.y[rows[:, None], steps.at].astype(np.float32))


def observed(series: Series) -> dict[str, NDArray[np.bool_]]:
    """Where each sparse modality was observed, bool `[N, T]`."""
    seen = {IMAGE: (series.picture != ABSENT).any(2)}
    return seen | {name: c.observed for name, c in series.channels.items() if name in SPARSE}


def widths(series: Series, pictures: Pictures) -> dict[str, int]:
    """Numbers that each modality has a step."""
    return {IMAGE: pictures.width} | {name: c.width for name, c in series.channels.items()}
