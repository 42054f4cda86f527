"""Short cuts are tried on the first batch and taken only if every row stays what it was.

Large JPEGs can be decoded at 1/2, 1/4 or 1/8 of their size; bf16 units multiply faster than fp32
ones. Both change the numbers a little: a cosine below 0.999 with the full fp32 result in any row
of the first batch rules a short cut out, and both together have to stay above it as well.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from backbench.features.forward import COSINE, Forward, lowest_cosine
from backbench.features.loading import UNREADABLE, Pictures

if TYPE_CHECKING:
    import torch
    from PIL import Image

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
    pictures: Pictures, rows: Sequence[int], forward: Forward, transform: Mapping[str, Any]
) -> Decoding:
    """The smallest decoding whose features agree with those of full pictures.

    Args:
        pictures: full decoding.
        rows: sample numbers of the first batch.
        forward: in fp32.
        transform: recorded fields, of which `edge` and `size` are read.
    """
    edge = _edge(transform)
    reduced = _openable(pictures, rows, edge)
    if not any(small.size != full.size for full, small in reduced):
        return Decoding(None, "full: no picture of the first batch gains from a reduced scale")
    full = forward.reference(_stack(pictures, [big for big, _ in reduced]))
    cosine = 0.0
    for min_side in (edge, 2 * edge):
        smaller = replace(pictures, min_side=min_side)
        small = _stack(pictures, [image for _, image in _openable(smaller, rows, min_side)])
        cosine = lowest_cosine(full, forward.reference(small))
        if cosine >= COSINE:
            return Decoding(min_side, f"reduced to {min_side}: lowest cosine {cosine:.5f}", cosine)
    return Decoding(None, f"full: a row decoded at reduced scale had cosine {cosine:.5f}")


def _edge(transform: Mapping[str, Any]) -> int:
    return int(max([*transform.get("edge", ()), *transform["size"]]))


def _openable(
    pictures: Pictures, rows: Sequence[int], min_side: int
) -> "list[tuple[Image.Image, Image.Image]]":
    """Each readable picture in full and reduced; threads, since decoding releases the GIL."""

    def both(row: int) -> "tuple[Image.Image, Image.Image] | None":
        try:
            return pictures.source.open(row), pictures.source.open(row, min_side)
        except UNREADABLE:
            return None  # reported when its batch is made

    with ThreadPoolExecutor(_THREADS) as pool:
        return [pair for pair in pool.map(both, rows) if pair]


def rehearsal(pictures: Pictures, rows: Sequence[int]) -> "tuple[torch.Tensor, float]":
    """Pixels of the readable ones of a few rows `[n, 3, H, W]`, and seconds a picture on all cores.

    The caller knows that at least one of them is readable.
    """
    start = perf_counter()
    batch = pictures[list(rows)]
    assert batch.pixels is not None
    return batch.pixels, (perf_counter() - start) / len(rows)


def _stack(pictures: Pictures, images: "Sequence[Image.Image]") -> "torch.Tensor":
    import torch

    return torch.stack([pictures.transform(image) for image in images])
