"""HDF5: opened with a word on what is wrong, created atomically, written to disks that get full.

This module is the only one that imports h5py.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from backbench.errors import FeatureError
from backbench.files.atomic import replacing
from backbench.files.home import is_ours

File: TypeAlias = h5py.File
Floats = NDArray[np.floating[Any]]


@contextmanager
def reading(path: Path) -> Iterator[File]:
    """Open any HDF5 file for reading; a damaged one becomes a FeatureError, here or while read."""
    try:
        # Our own lock file serialises writers, and files are only ever replaced whole.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, zlib.error) as error:
        raise broken(path, _diagnosis(path, error)) from error


@contextmanager
def creating(path: Path) -> Iterator[tuple[File, Callable[[], None]]]:
    """A new file that takes its place when complete, and a call that raises once the disk is full.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary, _Sink(temporary) as sink, h5py.File(sink, "w") as file:
        yield file, sink.check


def text(column: Iterable[str]) -> NDArray[np.bytes_]:
    """UTF-8 `[N]`, as wide as the longest."""
    encoded = [value.encode() for value in column]
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max([1, *map(len, encoded)])))


def column(values: NDArray[Any]) -> Any:  # noqa: ANN401 - text or integers
    """Values of a column read, text decoded."""
    return [value.decode() for value in values.tolist()] if values.dtype.kind == "S" else values


def write_nested(path: Path, rows: Iterable[tuple[str, Floats]]) -> None:
    """Write `/{a}/{b}/{c}` -> float32 (D,) datasets from ids `a/b/c`, atomically."""
    with creating(path) as (file, check):
        for name, row in rows:
            file.create_dataset(name, data=row.astype(np.float32, copy=False))
            check()


def read_nested(path: Path) -> list[tuple[str, Floats]]:
    """All datasets of a nested file with their paths as ids, in the file's order."""
    found: list[tuple[str, Floats]] = []

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item[()]))

    with reading(path) as file:
        file.visititems(take)
    return found


def broken(path: Path, what: str) -> FeatureError:
    """The error for a file of which `what` is true; only what can be made again may be deleted."""
    again = "Delete it or move it away, then run extract again."
    return FeatureError(f"{path} {what}. {again if is_ours(path) else 'Give another file.'}")


def _diagnosis(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "is empty"
    text = str(error)
    if "signature not found" in text:
        return "is not an HDF5 file"
    if "truncated" in text or "eof" in text:
        return "is truncated"
    return f"is damaged ({text.splitlines()[0] if text else type(error).__name__})"


class _Sink(io.RawIOBase):
    """A file that HDF5 writes through: it takes note of a full disk instead of failing.

    HDF5 that meets a failing write cannot close its file and crashes the process at exit; so the
    first error is kept, later bytes are dropped, and the error is raised once HDF5 is done.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def __exit__(self, *details: object) -> None:
        self._file.close()
        super().__exit__(*details)  # type: ignore[arg-type]
        if details[0] is None:
            self.check()
