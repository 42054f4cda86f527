"""Exact nearest neighbours by cosine, block against block: all similarities never exist at once.

Similarities are float64, so that a row's neighbours do not depend on how many other rows were
asked about. Whom a row may count as neighbours is a set of voters: the training rows of a fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.heads.matrix import check_finite
from backbench.heads.unit import Floats

BLOCK = 1024
"""Rows asked about, and rows they are compared with, at once: their cosines stay in a cache."""

_TIE = 1e-10
"""Cosines closer than this are equal: float64 rounding is a thousand times smaller."""

_SPARE = 16
"""Neighbours looked at beyond the largest k, to see ties."""

Tensor = torch.Tensor


@dataclass(frozen=True)
class Rules:
    """How neighbours vote; `ks` ascending."""

    ks: tuple[int, ...]
    temperature: float
    smoothing: float


@dataclass(frozen=True)
class Asked:
    """Rows that are asked about.

    Attributes:
        rows: of length 1, float64 `[m, D]`.
        at: which of the rows each question is about `[R]`.
        voters: by which set of voters each is answered `[R]`.
    """

    rows: Tensor
    at: Tensor
    voters: Tensor


class Known:
    """Labelled rows, and sets of those among them that vote."""

    def __init__(
        self,
        X: Floats,
        y: NDArray[np.int64],
        voters: NDArray[np.bool_],
        classes: int,
        *,
        device: str = "cpu",
        memory: int = 0,
    ) -> None:
        """Know features `[N, D]` with class codes `[N]` and sets of voters `[S, N]`.

        Rows of length 1 are kept as one float64 copy where that fits into `memory` bytes, else made
        anew for each block.
        """
        self._made = 8 * X.size <= memory
        self._X = unit_rows(X, range(len(X))) if self._made else X
        self._y = torch.from_numpy(np.asarray(y, np.int64)).to(device)
        self._voters = torch.from_numpy(voters).to(device)
        self._classes, self._device = classes, device

    def logits(self, asked: Asked, rules: Rules) -> Tensor:
        """Logits `[K, R, C]`, float64, of each question by each k.

        Every set of voters asked has `max(ks)` members or more.
        """
        near, labels = self._nearest(asked, rules.ks[-1] + _SPARE)
        last = torch.stack([near[:, k - 1] for k in rules.ks]) - _TIE  # [K, R]
        weight = _weights(near, near, rules)
        votes = torch.stack(
            [self._count(labels, weight * (near >= bound[:, None])) for bound in last]
        )
        crowded = torch.nonzero(near[:, -1] >= last[-1])[:, 0]
        if near.shape[1] < len(self._y) and len(crowded):
            some = Asked(asked.rows, asked.at[crowded], asked.voters[crowded])
            votes[:, crowded] = self._count_all(some, near[crowded], last[:, crowded], rules)
        share = votes / votes.sum(-1, keepdim=True)
        return torch.log((1 - rules.smoothing) * share + rules.smoothing / self._classes)

    def _nearest(self, asked: Asked, most: int) -> tuple[Tensor, Tensor]:
        """Cosines, largest first, and labels of up to `most` neighbours `[R, most]`."""
        near = asked.rows.new_empty((len(asked.at), 0))
        labels = self._y.new_empty((len(asked.at), 0))
        for block, cosines in self._cosines(asked):
            best, who = cosines.topk(min(most, cosines.shape[1]), dim=1)
            near, labels = torch.cat([near, best], 1), torch.cat([labels, self._y[block][who]], 1)
            near, order = near.topk(min(most, near.shape[1]), dim=1)
            labels = labels.gather(1, order)
        return near, labels

    def _count_all(self, asked: Asked, near: Tensor, last: Tensor, rules: Rules) -> Tensor:
        """Votes `[K, R, C]` where more tie than were kept: of all, once the k-th is known."""
        votes = near.new_zeros((*last.shape, self._classes))
        for block, cosines in self._cosines(asked):
            labels = self._y[block].expand(len(cosines), -1)
            weight = _weights(cosines, near, rules)
            for k, bound in enumerate(last):
                votes[k] += self._count(labels, weight * (cosines >= bound[:, None]))
        return votes

    def _count(self, labels: Tensor, weight: Tensor) -> Tensor:
        """Sums of weights `[R, n]` by label `[R, n]`, as `[R, C]`."""
        zeros = weight.new_zeros((len(weight), self._classes))
        return zeros.scatter_add_(1, labels, weight)

    def _cosines(self, asked: Asked) -> Iterator[tuple[slice, Tensor]]:
        """Cosines of the questions with each block `[R, b]`; -inf where a row does not vote."""
        for start in range(0, len(self._y), BLOCK):
            block = slice(start, start + BLOCK)
            part = self._X[block]
            rows = part if self._made else unit_rows(part, range(start, len(self._y)))
            cosines = asked.rows @ torch.from_numpy(rows).to(self._device).T
            votes = self._voters[:, block][asked.voters]
            yield block, cosines[asked.at].masked_fill_(~votes, -torch.inf)


def unit_rows(X: Floats, numbers: range | NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows of length 1, float64; a row of zeros stays one, at cosine 0 to all.

    Args:
        X: some rows of the features.
        numbers: of these rows, for the error.

    Raises:
        HeadError: a value is NaN or infinite.
    """
    check_finite(X, numbers)
    rows = np.asarray(X, np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit


def _weights(cosines: Tensor, near: Tensor, rules: Rules) -> Tensor:
    """`exp(cosine / T)`, in units of the nearest neighbour's."""
    return torch.exp((cosines - near[:, :1]) / rules.temperature)
