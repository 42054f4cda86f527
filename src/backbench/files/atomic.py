"""Written to a temporary name, flushed, then renamed: a kill leaves the old file or the new one."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backbench.errors import StorageError
from backbench.files.home import is_ours

_CHUNK = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def replacing(path: Path, *, flushed: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The path may become a file, or a folder where there is none yet. Unless `flushed`, a loss of
    power may leave the file empty: for what is verified when it is read, and can be made again.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed(temporary):
            yield temporary
            if flushed:
                _flush(temporary)
            temporary.replace(path)
        if flushed:
            _flush(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def check_writable(path: Path) -> None:
    """Tell before the work that its result could not be written; leaves nothing.

    Raises:
        StorageError: `path` is a folder, or no file can be made beside it.
    """
    _check(path.parent, path)
    if path.is_dir():
        raise unwritable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))


def check_folder(folder: Path) -> None:
    """Tell before the work that no file could be made in a folder, there or not; leaves nothing.

    Raises:
        StorageError: it is no folder, or it or what it would be made in cannot be written.
    """
    _check(folder, folder)


def _check(folder: Path, path: Path) -> None:
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StorageError:
    """The error for a path that cannot be written, with the cure that fits where it is."""
    elsewhere = "another folder with BACKBENCH_HOME" if is_ours(path) else "another place for it"
    cure = "Free space there or choose" if error.errno in _FULL else "Choose"
    reason = error.strerror or error
    return StorageError(f"cannot write {path}: {reason}. {cure} {elsewhere}, then run again.")


@contextmanager
def _removed(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, flushed: bool = True) -> Path:
    """Write `content` to `path` atomically; `flushed` as in `replacing`."""
    with replacing(path, flushed=flushed) as temporary:
        temporary.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 `text` to `path` atomically."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> Path:
    """Write `value` as indented JSON with sorted keys; NaN and infinities are refused."""
    return write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
