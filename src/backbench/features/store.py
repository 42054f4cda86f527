"""Feature files on disk: HDF5, one table of rows, checked when opened, checksummed in every chunk.

A file holds::

    features        float32 or float16 [N, D]   chunked, Fletcher-32
    sample_id       UTF-8 text [N]              content_sha256  hexadecimal text [N]
    size, mtime_ns  int64 [N]                   of the sample's file, -1 where there is none
    session         int32 [N]                   which entry of `sessions` computed the row
    sessions        JSON as bytes               when, where, with what precision and versions

and the attributes of `Header` beside `format`. Whether rows sit in one file or in several is the
business of `shards.py`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import FeatureError
from backbench.features import hdf5

FORMAT = "backbench-features"
VERSION = 1
COLUMNS = ("sample_id", "content_sha256", "size", "mtime_ns", "session")
BLOCK_BYTES = 16 << 20
_CHUNK_BYTES = 256 << 10

Floats = NDArray[np.floating[Any]]
Session = dict[str, Any]


@dataclass(frozen=True)
class Header:
    """What holds for every row of a file.

    Attributes:
        identity: the vector space as plain JSON (weights, representation, transform, names).
        identity_key: 16 hexadecimal digits of it.
        dim: width D of a row.
        dtype: `float32` or `float16`.
        parameters: of the network.
        licence: of the weights.
    """

    identity: Mapping[str, Any]
    identity_key: str
    dim: int
    dtype: str
    parameters: int
    licence: str


def write_file(
    path: Path,
    header: Header,
    sessions: Sequence[Session],
    table: pd.DataFrame,
    blocks: Iterable[Floats],
    *,
    attributes: Mapping[str, Any],
) -> None:
    """Write a whole file atomically, holding one block of rows at a time.

    Args:
        path: replaced when everything is on disk.
        header: of the file.
        sessions: what the column `session` counts.
        table: `COLUMNS`, N rows.
        blocks: the feature rows in the order of `table`, in pieces of any length.
        attributes: further provenance, for readers with `h5dump`.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with hdf5.creating(path) as (file, check):
        _write_attributes(file, header, attributes)
        _write_columns(file, table, sessions)
        _write_features(file, header, len(table), blocks, check)


def read_header(path: Path) -> tuple[Header, list[Session]]:
    """Header and sessions of a file.

    Raises:
        FeatureError: the file is empty, truncated, or not one of ours.
    """
    with opened(path) as file:
        at = file.attrs
        header = Header(
            identity=json.loads(at["identity"]),
            identity_key=str(at["identity_key"]),
            dim=int(at["dim"]),
            dtype=str(at["dtype"]),
            parameters=int(at["parameters"]),
            licence=str(at["licence"]),
        )
        return header, json.loads(bytes(file["sessions"][:]))


def read_attributes(path: Path) -> dict[str, Any]:
    """All attributes of a file, those that hold JSON decoded."""
    with opened(path) as file:
        return {name: _plain(value) for name, value in file.attrs.items()}


def read_table(path: Path) -> pd.DataFrame:
    """`COLUMNS` of a file, N rows, without the features."""
    with opened(path) as file:
        table = pd.DataFrame({name: hdf5.column(file[name][:]) for name in COLUMNS})
        if len(table) != len(file["features"]):
            raise hdf5.broken(path, f"has {len(table)} ids for {len(file['features'])} rows")
        return table


def read_blocks(
    path: Path, rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Walk through a file once, front to back, in blocks of bounded size.

    Args:
        path: of the file.
        rows: which rows, ascending; all without it.

    Yields:
        row numbers `[n]` and their features `[n, D]`.
    """
    with opened(path) as file:
        data = file["features"]
        step = block_rows(data.shape[1], data.dtype.itemsize, data.chunks[0])
        wanted = np.arange(len(data)) if rows is None else rows
        for start in range(0, len(data), step):
            low, high = np.searchsorted(wanted, [start, start + step])
            if low < high:
                here = wanted[low:high]
                yield here, data[start : start + step][here - start]


def block_rows(dim: int, itemsize: int, multiple: int = 1) -> int:
    """Rows in about `BLOCK_BYTES`, a multiple of the chunk length."""
    return max(1, BLOCK_BYTES // (dim * itemsize * multiple)) * multiple


@contextmanager
def opened(path: Path) -> Iterator[hdf5.File]:
    """Open one of our files for reading; whatever is wrong with it becomes a FeatureError.

    Raises:
        FeatureError: says what is wrong with the file and what to do about it.
    """
    with hdf5.reading(path) as file:
        if str(file.attrs.get("format", "")) != FORMAT:
            raise hdf5.broken(path, "is an HDF5 file, but not a Backbench feature file")
        if int(file.attrs["format_version"]) > VERSION:
            raise FeatureError(
                f"{path} was written by a newer Backbench (format "
                f"{file.attrs['format_version']}, known is {VERSION}); update this installation."
            )
        missing = [name for name in ("features", "sessions", *COLUMNS) if name not in file]
        if missing:
            raise hdf5.broken(path, f"lacks {', '.join(missing)}")
        yield file


def _write_attributes(file: hdf5.File, header: Header, attributes: Mapping[str, Any]) -> None:
    own = {"format": FORMAT, "format_version": VERSION, **vars(header)}
    for name, value in {**attributes, **own}.items():
        file.attrs[name] = json.dumps(value) if isinstance(value, dict | list) else value


def _write_columns(file: hdf5.File, table: pd.DataFrame, sessions: Sequence[Session]) -> None:
    values = {
        "sample_id": hdf5.text(table["sample_id"]),
        "content_sha256": hdf5.text(table["content_sha256"]),
        "size": table["size"].to_numpy(np.int64),
        "mtime_ns": table["mtime_ns"].to_numpy(np.int64),
        "session": table["session"].to_numpy(np.int32),
        "sessions": np.frombuffer(json.dumps(list(sessions)).encode(), np.uint8),
    }
    for name, column in values.items():
        chunk = max(1, min(len(column), _CHUNK_BYTES // column.dtype.itemsize))
        file.create_dataset(name, data=column, chunks=(chunk,), fletcher32=True)


def _write_features(
    file: hdf5.File, header: Header, count: int, blocks: Iterable[Floats], check: Callable[[], None]
) -> None:
    dtype = np.dtype(header.dtype)
    chunk = max(1, min(count, _CHUNK_BYTES // (header.dim * dtype.itemsize)))
    data = file.create_dataset(
        "features", (count, header.dim), dtype, chunks=(chunk, header.dim), fletcher32=True
    )
    start = 0
    for block in blocks:
        data[start : start + len(block)] = block
        start += len(block)
        check()
    if start != count:
        raise FeatureError(f"{count} ids came with {start} feature rows; the numbers must agree.")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any attribute
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value.item() if isinstance(value, np.generic) else value
