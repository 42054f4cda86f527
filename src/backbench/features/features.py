"""The features of one backbone over one set of samples, as everything downstream takes them."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.features.shards import Index, gather
from backbench.files.atomic import unwritable
from backbench.files.room import reserve

IN_MEMORY_BYTES = 1 << 30
ERROR_COLUMNS = ("sample_id", "path", "error")


@dataclass(frozen=True)
class Features:
    """A feature matrix and where it comes from.

    Attributes:
        path: the HDF5 file.
        key: 16 hexadecimal digits over the vector space and (id, content hash) of these samples.
        identity_key: 16 hexadecimal digits of the vector space.
        ids: sample ids `[N]`, in the order asked for, without the unreadable ones.
        X: float32 or float16 `[N, D]`; above 1 GiB a memory map of a nameless temporary file.
        contents: content hash (SHA-256, hexadecimal) `[N]`.
        provenance: attributes of the file: identity, precision, versions, git SHA, date,
            parameters, licence, images per second.
        errors: unreadable samples: `sample_id, path, error`.
        computed: rows this call computed.
        reused: rows that were there, or came from another run's file.
    """

    path: Path
    key: str
    identity_key: str
    ids: NDArray[np.str_]
    X: NDArray[Any]
    contents: NDArray[np.str_]
    provenance: dict[str, Any]
    errors: pd.DataFrame
    computed: int
    reused: int


def matrix(index: Index, rows: pd.DataFrame, dim: int, dtype: str, folder: Path) -> NDArray[Any]:
    """Features of `rows` in their order `[n, D]`, in memory or mapped from a file when large.

    Raises:
        StorageError: the disk has no room for the mapped file.
    """
    shape = (len(rows), dim)
    fits = _size(shape, dtype) <= IN_MEMORY_BYTES
    X = np.empty(shape, dtype) if fits else _mapped(shape, dtype, folder)
    gather(index, rows, X)
    return X


def _size(shape: tuple[int, int], dtype: str) -> int:
    return shape[0] * shape[1] * np.dtype(dtype).itemsize


def _mapped(shape: tuple[int, int], dtype: str, folder: Path) -> NDArray[Any]:
    """An array in a file without a name, which goes with the last reference, also after a kill."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file, _size(shape, dtype))
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise unwritable(folder, error) from error


def no_errors() -> pd.DataFrame:
    """An empty table of unreadable samples."""
    return pd.DataFrame(columns=list(ERROR_COLUMNS), dtype=str)
