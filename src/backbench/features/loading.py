"""Pictures to tensors, in worker processes, ahead of the network.

A worker reads, hashes, decodes and transforms a whole batch into one tensor in shared memory, so
no pixel array is pickled. Unreadable pictures leave the batch as a line of text.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backbench.errors import BackbenchError, FeatureError, SampleError
from backbench.features.keys import content_hash
from backbench.features.stock import NO_STAT, Stat
from backbench.files.stopping import leave_to_parent
from backbench.samples import Source

if TYPE_CHECKING:
    import torch
    from PIL import Image

    Transform = Callable[[Image.Image], torch.Tensor]

# Not a picture, a file that is gone, or a shape that a transform does not take.
UNREADABLE = (SampleError, OSError, ValueError)
_PREFETCH = 2
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - asked for its free space only
_SHARED_FRACTION = 0.5
_MOST_HANDS = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """Pictures of one batch, and those that could not be read.

    Attributes:
        rows: sample numbers `[n]` of `pixels`.
        pixels: float32 `[n, 3, H, W]`; None where no picture of the batch was readable.
        hashes: content hash of each row.
        stats: size and modification time of each row.
        failures: sample number and what went wrong.
    """

    rows: list[int]
    pixels: "torch.Tensor | None"
    hashes: list[str]
    stats: list[Stat]
    failures: list[tuple[int, str]]

    def pin_memory(self) -> "Batch":
        """Called by the loader where a GPU reads the pixels."""
        if self.pixels is None:
            return self
        return Batch(self.rows, self.pixels.pin_memory(), self.hashes, self.stats, self.failures)


@dataclass(frozen=True)
class Pictures:
    """The data set that workers index, by lists of sample numbers.

    Attributes:
        source: where the pixels are.
        transform: of the backbone.
        min_side: a JPEG may be decoded at a reduced scale, no side shorter than this.
    """

    source: Source
    transform: "Transform"
    min_side: int | None = None

    def __getitem__(self, rows: list[int]) -> Batch:
        """Read, hash, decode and transform a batch; on all cores, unless in a worker."""
        good, failures = [], []
        for row, one in zip(rows, _each(self._one, rows), strict=True):
            if isinstance(one, Exception):
                failures.append((row, describe(one)))
            else:
                good.append((row, *one))
        names, pixels, hashes, stats = zip(*good, strict=True) if good else ((), (), (), ())
        stacked = _stack(pixels) if good else None
        return Batch(list(names), stacked, list(hashes), list(stats), failures)

    def _one(self, row: int) -> "tuple[torch.Tensor, str, Stat] | Exception":
        try:
            # The stat comes first: content that changes later differs from it and is found then.
            stat = self.source.stat(row) or NO_STAT
            sha = content_hash(self.source.read(row))
            return self.transform(self.source.open(row, self.min_side)), sha, stat
        except UNREADABLE as error:
            return error


def describe(error: Exception) -> str:
    """An exception as one line; ours say all by themselves."""
    text = " ".join(str(error).split())
    if isinstance(error, BackbenchError):
        return text
    return f"{type(error).__name__}: {text or 'no further reason given'}"


@contextlib.contextmanager
def batches(
    pictures: Pictures, order: Iterable[list[int]], *, workers: int, pin: bool
) -> Iterator[Iterator[Batch]]:
    """Batches in the order of `order`, made ahead by `workers` processes (0: made here).

    Raises:
        FeatureError: a worker was killed, for lack of memory mostly.
    """
    from torch.utils.data import DataLoader

    ahead: dict[str, Any] = {"prefetch_factor": _PREFETCH} if workers else {}
    loader: DataLoader[Batch] = DataLoader(
        pictures,  # type: ignore[arg-type]  # indexed by batches, so no length is needed
        batch_size=None,
        sampler=order,  # of whole batches
        num_workers=workers,
        collate_fn=_as_is,  # type: ignore[arg-type]  # a batch is made in one piece
        worker_init_fn=_start_worker if workers else None,
        pin_memory=pin,
        **ahead,
    )
    stream = iter(loader)
    try:
        yield stream
    except (RuntimeError, ConnectionError, EOFError) as error:
        # A dead worker shows as torch's own error, or as the end of the line to its tensors.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise FeatureError(
            f"a process that decodes pictures died ({str(error).splitlines()[0]}). Finished rows "
            "are kept; run again with less at once: --workers 0 or a smaller --batch-size."
        ) from error
    finally:
        if workers:
            # Torch ends them with the last reference to the stream, but the traceback of an error
            # holds one until exit, where daemons get a SIGTERM that these leave to their parent.
            stream._shutdown_workers()  # type: ignore[attr-defined]  # noqa: SLF001


def sensible_workers(loading: float, forward: float, batch_bytes: int, *, apart: bool) -> int:
    """Worker processes that keep the network fed, as far as cores and shared memory reach.

    Args:
        loading: seconds it takes here, on all cores, to read and transform a picture.
        forward: seconds the network takes for a picture.
        batch_bytes: of a batch of pixels, several of which wait in shared memory.
        apart: the network does not compute on the cores that would load. Where it does, loading
            meanwhile only makes each of its threads wait for the slowest; 0 then, unless reading
            takes longer than the network.
    """
    if not apart and loading <= forward:
        return 0
    wanted = min(math.ceil(_hands() * loading / max(forward, 1e-9)), _hands())
    if not Path(_SHARED_MEMORY).is_dir():
        return wanted
    room = int(shutil.disk_usage(_SHARED_MEMORY).free * _SHARED_FRACTION)
    return min(wanted, room // ((_PREFETCH + 1) * max(1, batch_bytes)))


def _hands() -> int:
    """Threads or processes that load at once, at most."""
    known = hasattr(os, "sched_getaffinity")
    return min(len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1, _MOST_HANDS)


def _each(work: "Callable[[int], Item]", rows: list[int]) -> "list[Item]":
    """On a thread a core: reading, decoding and resizing let go of Python's lock."""
    import torch

    hands = min(_hands(), len(rows))
    if hands <= 1 or torch.utils.data.get_worker_info() is not None:
        return [work(row) for row in rows]
    with ThreadPoolExecutor(hands, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, rows))


def _stack(pixels: "tuple[torch.Tensor, ...]") -> "torch.Tensor":
    import torch

    shape = (len(pixels), *pixels[0].shape)
    if torch.utils.data.get_worker_info() is None:
        return torch.stack(pixels)
    shared = torch.empty(shape, dtype=pixels[0].dtype)
    shared.share_memory_()  # type: ignore[no-untyped-call]
    return torch.stack(pixels, out=shared)


def _as_is(batch: Batch) -> Batch:
    return batch


def _start_worker(worker: int) -> None:
    del worker
    leave_to_parent()
