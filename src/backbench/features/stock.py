"""Taking stock: which samples have their features already, at the price of a stat and a lookup."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError
from backbench.features.keys import content_hash
from backbench.features.shards import Index
from backbench.samples import Samples

Stat = tuple[int, int]
NO_STAT: Stat = (-1, -1)
_THREADS = 8


@dataclass(frozen=True)
class Stock:
    """What is there and what has to be computed.

    Attributes:
        pending: rows of the samples without features, ascending.
        hashes: content hash by row, for the rows where it is known.
        touched: `sample_id, size, mtime_ns` of files that changed in time but not in content.
    """

    pending: NDArray[np.int64]
    hashes: dict[int, str]
    touched: pd.DataFrame


def take_stock(samples: Samples, index: Index, *, verify: bool, precision: str) -> Stock:
    """Compare the samples with what is stored.

    A file whose size and modification time are those stored is taken for unchanged and is not
    read, unless `verify`; content in memory is hashed each time. Rows computed with a short cut
    do not count where `precision` is `fp32`.
    """
    place = index.place(samples.ids)
    if precision == "fp32" and len(index.rows):
        place[(place >= 0) & ~index.exact[place]] = -1
    stored = _Stored(index)
    stats = {i: stat_of(samples, i) for i in np.flatnonzero(place >= 0).tolist()}
    trusted = {i for i, stat in stats.items() if not verify and stat == stored.stat(place[i])}
    hashes = {i: stored.sha(place[i]) for i in trusted}
    doubtful = [i for i, stat in stats.items() if i not in trusted and stat is not None]
    fresh = dict(zip(doubtful, hash_contents(samples, doubtful), strict=True))
    same = {i: sha for i, sha in fresh.items() if sha == stored.sha(place[i])}
    touched = [
        (samples.ids[i], *stat)
        for i in same
        if (stat := stats[i]) and stat not in (NO_STAT, stored.stat(place[i]))
    ]
    present = hashes | {i: sha for i, sha in same.items() if sha}
    return Stock(
        pending=np.setdiff1d(np.arange(len(samples)), np.array(list(present), np.int64)),
        hashes=present,
        touched=pd.DataFrame(touched, columns=["sample_id", "size", "mtime_ns"]),
    )


def hash_contents(samples: Samples, rows: Iterable[int]) -> list[str | None]:
    """Content hash of each row, None where it cannot be read; files are read side by side."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda i: _hash(samples, i), rows))


class _Stored:
    """Plain arrays of the index, for quick lookups by place."""

    def __init__(self, index: Index) -> None:
        self._sizes = index.rows["size"].to_numpy(np.int64)
        self._times = index.rows["mtime_ns"].to_numpy(np.int64)
        self._hashes = index.rows["content_sha256"].to_numpy(object)

    def stat(self, place: int) -> Stat | None:
        size, time = int(self._sizes[place]), int(self._times[place])
        return None if size < 0 else (size, time)

    def sha(self, place: int) -> str:
        return str(self._hashes[place])


def stat_of(samples: Samples, i: int) -> Stat | None:
    """Size and time of a file; `NO_STAT` for content in memory; None where it is not there."""
    try:
        return samples.source.stat(i) or NO_STAT
    except (OSError, SampleError):
        return None  # the row becomes pending, where the error is recorded


def _hash(samples: Samples, i: int) -> str | None:
    try:
        return content_hash(samples.source.read(i))
    except (OSError, SampleError):
        return None
