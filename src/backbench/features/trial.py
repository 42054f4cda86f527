"""Short cuts are tried on the first batch and taken only if every row stays what it was.

Large JPEGs can be decoded at 1/2, 1/4 or 1/8 of their size; bf16 units multiply faster than fp32
ones. Both change the numbers a little: a cosine below 0.999 with the full fp32 result in any row
of the first batch rules a short cut out, and both together have to stay above it as well.
Where rows are stored that took one, the rest of them tries that one and no other.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from backbench.features.forward import COSINE, Forward, lowest_cosine
from backbench.features.loading import UNREADABLE, Pictures

if TYPE_CHECKING:
    import torch

# A trial costs a few forward passes; below this many batches it cannot pay off.
FEWEST_BATCHES = 8
_THREADS = 4


@dataclass(frozen=True)
class Decoding:
    """How pictures are decoded: in full, or JPEGs down to `min_side`, and why.

    Attributes:
        cosine: the lowest with full decoding.
    """

    min_side: int | None
    note: str
    cosine: float = 1.0


def choose_decoding(
    pictures: Pictures,
    rows: Sequence[int],
    forward: Forward,
    transform: Mapping[str, Any],
    before: int | None = None,
) -> Decoding:
    """The smallest decoding whose features agree with those of full pictures.

    Args:
        pictures: full decoding.
        rows: sample numbers of the first batch.
        forward: in fp32.
        transform: recorded fields, of which `edge` and `size` are read.
        before: the smallest side that stored rows were decoded to; only that is tried then.
    """
    import torch

    edge = _edge(transform)
    note = "no picture of the first batch gains from a reduced scale"
    for min_side in (before,) if before else (edge, 2 * edge):
        tried = _tried(pictures, rows, min_side)
        if not (tried and before) and not any(one.shrinks for one in tried):
            break
        full, small = (
            torch.stack(each) for each in zip(*(one.pixels for one in tried), strict=True)
        )
        cosine = lowest_cosine(forward.reference(full), forward.reference(small))
        if cosine >= COSINE:
            return Decoding(min_side, f"reduced to {min_side}: lowest cosine {cosine:.5f}", cosine)
        note = f"a row decoded at reduced scale had cosine {cosine:.5f}"
    return Decoding(None, f"full: {note}")


def _edge(transform: Mapping[str, Any]) -> int:
    return int(max([*transform.get("edge", ()), *transform["size"]]))


@dataclass(frozen=True)
class _Tried:
    """One picture in full and reduced: whether it got smaller, and what the transform made."""

    shrinks: bool
    pixels: "tuple[torch.Tensor, torch.Tensor]"


def _tried(pictures: Pictures, rows: Sequence[int], min_side: int) -> list[_Tried]:
    """The readable pictures; threads, since decoding and resizing release the GIL."""

    def one(row: int) -> _Tried | None:
        try:
            full, small = pictures.source.open(row), pictures.source.open(row, min_side)
            pixels = pictures.transform(full), pictures.transform(small)
        except UNREADABLE:
            return None  # reported when its batch is made
        return _Tried(full.size != small.size, pixels)

    with ThreadPoolExecutor(_THREADS) as pool:
        return [found for found in pool.map(one, rows) if found]


def rehearsal(
    pictures: Pictures, rows: Sequence[int], size: tuple[int, int]
) -> "tuple[torch.Tensor, float]":
    """Pixels of the readable ones of a few rows `[n, 3, H, W]`, and seconds a picture on all cores.

    One black picture of `size` (height, width) where none of them is readable.
    """
    import torch

    start = perf_counter()
    pixels = pictures[list(rows)].pixels
    seconds = (perf_counter() - start) / len(rows)
    return (torch.zeros(1, 3, *size) if pixels is None else pixels), seconds
