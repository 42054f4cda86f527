"""The one feature matrix that all units share, read in blocks, and what each fold makes of it.

All heads compute in one frame, `z = (x - centre) / spread` with the moments of all rows. The frame
only keeps float32 accurate: what a unit learns depends on the mean and the standard deviation of
its own training rows, which are kept as corrections to the frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.heads.slots import Slots

_RESOLUTION = 1e-7
"""A column that varies less than this, relative to its size, is constant in float32."""
_WILD = 1e6
"""Times the typical spread: a row further out leaves too little of float32 to the others."""
_HARDLY = 1e-3
"""Times what is typical of columns: where rows differ less, that may be rounding."""
_PARTS = 9
"""Parts of the rows at least, so that a wild one is in few of them."""
_LANE = 16
"""Columns are padded to a multiple of this, so that rows start on a cache line."""

Doubles = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


class Matrix:
    """Features in the common frame, with a column of ones and padding behind them.

    Kept as one float32 copy when that takes at most half of the budget, else made anew for the
    rows asked for, from features that may be float16 and memory-mapped.

    Attributes:
        centre, spread: `[D]`, float64.
        n, d: rows and columns of the features.
        width: D + 1 for the ones, padded.
    """

    def __init__(self, X: Floats, device: str, memory_budget: int, *, copy: bool = True) -> None:
        self._X = X
        self.device = torch.device(device)
        self.n, self.d = X.shape
        self.width = -(-(self.d + 1) // _LANE) * _LANE
        self.block_rows = max(256, min(1024, memory_budget // (64 * self.width)))
        self.centre, self.spread = _moments(X, self.block_rows)
        self._copy: torch.Tensor | None = None
        if copy and 2 * 4 * self.n * self.width <= memory_budget:
            blocks = [block for _, block in self.blocks(torch.float32)]
            self._copy = torch.cat(blocks)

    def take(self, rows: Rows | slice, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """`[z, 1, 0..]` of the rows `[len(rows), width]`; do not write into it."""
        if self._copy is not None and dtype == torch.float32:
            if isinstance(rows, slice):
                return self._copy[rows]
            return self._copy.index_select(0, torch.from_numpy(rows).to(self.device))
        z = (self._read(rows).astype(np.float64) - self.centre) / self.spread
        out = torch.zeros((len(z), self.width), dtype=dtype, device=self.device)
        out[:, : self.d] = torch.from_numpy(z)
        out[:, self.d] = 1
        return out

    def _read(self, rows: Rows | slice) -> Floats:
        """In the order of the file, which memory maps and HDF5 read fastest."""
        if isinstance(rows, slice):
            return self._X[rows]
        order = np.argsort(rows, kind="stable")
        read = np.empty((len(rows), self.d), self._X.dtype)
        read[order] = self._X[rows[order]]
        return read

    def parts(self, count: int) -> Iterator[slice]:
        """So many rows in parts that fit into memory.

        Put what is made of a part into an array that is there before: small results left between
        large blocks keep the allocator from using those again.
        """
        for start in range(0, count, self.block_rows):
            yield slice(start, min(start + self.block_rows, count))

    def blocks(self, dtype: torch.dtype) -> Iterator[tuple[slice, torch.Tensor]]:
        """All rows in order, block by block, as (rows, `take(rows)`)."""
        for rows in self.parts(self.n):
            yield rows, self.take(rows, dtype)


def _moments(X: Floats, size: int) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each column; 1 where a column is constant.

    From those of parts of the rows (Chan, Golub & LeVeque 1983), which also tell what is typical.

    Raises:
        HeadError: a row that is not finite, or so far out that float32 loses the others.
    """
    n = len(X)
    size = min(size, -(-n // _PARTS))
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    means, squares = np.empty((2, len(parts), X.shape[1]))
    for number, rows in enumerate(parts):
        block = _finite(X, rows)
        means[number] = block.mean(0)
        block -= means[number]
        squares[number] = np.einsum("nd,nd->d", block, block)
    count = np.array([rows.stop - rows.start for rows in parts])[:, None]
    centre = np.median(means, 0)
    apart = np.median(np.abs(means - centre), 0)  # of rows in order of groups, parts differ most
    typical = centre, np.maximum(np.median(np.sqrt(squares / count), 0), apart)
    for rows, furthest in zip(parts, np.abs(means - typical[0]) + np.sqrt(squares), strict=True):
        _check_wild(X, rows, furthest, *typical)
    mean = (count * means).sum(0) / n
    std = np.sqrt((squares + count * (means - mean) ** 2).sum(0) / n)
    return mean, np.where(std > _RESOLUTION * np.abs(mean), std, 1.0)


def _finite(X: Floats, rows: slice) -> Doubles:
    read = X[rows]
    check_finite(read, range(rows.start, rows.stop))
    return np.array(read, np.float64)


def _check_wild(
    X: Floats, rows: slice, furthest: Doubles, centre: Doubles, spread: Doubles
) -> None:
    """Refuse a row that is `_WILD` times as far out as rows typically are.

    A column in which rows typically hardly differ is not judged: a row that does is rare there, and
    not wrong.
    """
    differ = (spread > _HARDLY * np.median(spread)) & (spread > _RESOLUTION * np.abs(centre))
    limit = np.where(differ, _WILD * spread, np.inf)
    if (furthest > limit).any():  # no row of the part can be further out than that
        wild = (np.abs(np.asarray(X[rows], np.float64) - centre) > limit).any(1)
        if wild.any():
            raise HeadError(
                f"row {rows.start + int(wild.argmax())} of the features is over a million "
                "times as far out as others are, and would drown them; extract the features again, "
                "or leave that sample out."
            )


def check_finite(X: Floats, rows: range | Rows) -> None:
    """Refuse features that are not finite.

    Args:
        X: some rows of the features.
        rows: their numbers, in order.

    Raises:
        HeadError: names the first such row.
    """
    finite = np.isfinite(X).all(1)
    if not finite.all():
        raise HeadError(
            f"row {rows[int(finite.argmin())]} of the features has NaN or infinite values; extract "
            "the features again, or leave that sample out."
        )


@dataclass(frozen=True)
class Moments:
    """What the training rows of each slot are standardised with, in the common frame.

    Attributes:
        mean: `[S, D]`, float64.
        std: `[S, D]`, float64; 1 where constant.
        scale: `[S, D]`, 1 / std, and 0 where a column is constant in training: it can teach
            nothing, so it gets no say.
    """

    mean: Doubles
    std: Doubles
    scale: Doubles


def moments(matrix: Matrix, trained: NDArray[np.bool_]) -> Moments:
    """Moments of the rows that each slot trains on `[N, S]`, in one pass over the features."""
    sums = torch.zeros((2, trained.shape[1], matrix.d), dtype=torch.float64, device=matrix.device)
    for rows, block in matrix.blocks(torch.float32):
        z = block[:, : matrix.d].double()
        mask = torch.from_numpy(trained[rows].T).to(z)
        sums[0].addmm_(mask, z)
        sums[1].addmm_(mask, z * z)
    mean, square = sums.cpu().numpy() / np.maximum(trained.sum(0)[:, None], 1)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    size = np.abs(mean + matrix.centre / matrix.spread)
    varies = std > _RESOLUTION * np.maximum(size, 1.0)
    std = np.where(varies, std, 1.0)
    return Moments(mean, std, varies / std)


def train_mask(n: int, block: Slots) -> NDArray[np.bool_]:
    """True where a slot trains on a row `[N, S]`; an empty slot trains on none."""
    mask = np.zeros((n, len(block)), np.bool_)
    for slot, fold in enumerate(block):
        if fold is not None:
            mask[fold.train, slot] = True
    return mask


def affine_weights(
    matrix: Matrix, mean: Doubles, scale: Doubles, weight: Floats, bias: Floats
) -> dict[str, NDArray[Any]]:
    """Weights over standardised columns, with the standardisation in units of the raw features.

    Args:
        matrix: the frame.
        mean: of the fold, in the frame `[D]`.
        scale: of the fold, in the frame `[D]`.
        weight: `[D, C]` on `(z - mean) * scale`.
        bias: `[C]`.
    """
    return {
        "mean": matrix.centre + mean * matrix.spread,
        "scale": scale / matrix.spread,
        "weight": np.ascontiguousarray(weight, np.float32),
        "bias": np.asarray(bias, np.float32),
    }
