"""Finished rows go to disk in a thread of their own, a shard at a time."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import FeatureError, some
from backbench.features.shards import ShardedFile
from backbench.features.store import Floats, Header, Session

SHARD_ROWS = 4096
SHARD_SECONDS = 20.0
_AHEAD = 4


@dataclass(frozen=True)
class Finished:
    """Rows that are computed: `table` has `store.COLUMNS` but `session`, X is `[n, D]`."""

    table: pd.DataFrame
    X: NDArray[np.float32]


class Writer:
    """Collects finished rows and writes a shard at once, then every 4,096 rows or 20 seconds.

    The first one tells others with the same task early. A kill loses only the rows since the last
    shard. Leaving the context, also by an exception or
    Ctrl-C, writes what is there.
    """

    def __init__(self, file: ShardedFile, header: Header, session: Callable[[], Session]) -> None:
        self.written = 0
        self._file, self._header, self._session = file, header, session
        self._queue: queue.Queue[Finished | None] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._waiting: list[Finished] = []
        self._last = float("-inf")
        self._thread = threading.Thread(target=self._work, name="feature-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and details[0] is None:
            raise self._error

    def put(self, rows: Finished) -> None:
        """Hand rows over; waits when the disk is far behind.

        Raises:
            FeatureError: an earlier row was NaN or infinite.
            StorageError: an earlier shard could not be written.
        """
        if self._error is not None:
            raise self._error
        self._queue.put(rows)

    def _work(self) -> None:
        while (rows := self._queue.get()) is not None:
            self._guard(self._take, rows)
        self._guard(self._flush)

    def _guard(self, step: Callable[..., None], *arguments: Finished) -> None:
        # Kept for the thread that computes, which raises it at its next row or at the end.
        if self._error is None or step == self._flush:
            try:
                step(*arguments)
            except BaseException as error:  # noqa: BLE001
                self._error = self._error or error

    def _take(self, rows: Finished) -> None:
        good = _in_dtype(rows.X, self._header.dtype)
        fine = np.asarray(np.isfinite(good).all(axis=1))
        self._waiting.append(Finished(rows.table.iloc[np.flatnonzero(fine)], good[fine]))
        if not fine.all():
            raise _not_finite(rows.table["sample_id"].to_numpy()[~fine].tolist(), self._header)
        count = sum(len(each.X) for each in self._waiting)
        if count >= SHARD_ROWS or monotonic() - self._last >= SHARD_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self._last = monotonic()
        if not sum(len(each.X) for each in self._waiting):
            return
        table = pd.concat([each.table for each in self._waiting], ignore_index=True)
        X = np.concatenate([each.X for each in self._waiting])
        self._waiting = []
        self._file.add(self._header, self._session(), table, X)
        self.written += len(X)


def _in_dtype(X: NDArray[np.float32], dtype: str) -> Floats:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused
        return X.astype(dtype)


def _not_finite(ids: list[str], header: Header) -> FeatureError:
    cure = " float16 holds values up to 65504: use float32." if header.dtype == "float16" else ""
    return FeatureError(
        f"{len(ids)} samples have NaN or infinite features with "
        f"{header.identity.get('backbone')} {header.identity.get('checkpoint')}: "
        f"{some(ids)}; they are not stored. "
        f"Look at these pictures and at the checkpoint, then run again.{cure}"
    )
