"""A size-bounded folder of local copies, shared by all processes that name the same folder.

Copies are complete or absent. The least recently used go first; one in use is never removed:
whoever uses a copy holds a shared `flock` on it, and removal needs the exclusive one.
"""

import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from backbench.errors import StorageError
from backbench.files import atomic
from backbench.files.listing import with_stats

DEFAULT_BYTES = 50 << 30
RECENT = 4  # copies a thread handed out last stay held: the caller is about to open them


@dataclass(frozen=True)
class Held:
    """A copy that stays until `close`."""

    path: Path
    file: BinaryIO

    def close(self) -> None:
        """Let it go: it may be removed from now on."""
        self.file.close()


class Staging:
    """The copies under `folder`, at most `limit` bytes together."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder / "objects"
        self.locks = folder / "locks"
        self.limit = _limit() if limit is None else limit
        self._ledger = folder / "used.json"

    def place(self, address: str, version: str, key: str) -> Path:
        """Where the copy of the object at `address` has its place when its ETag is `version`."""
        return self._folder_of(address) / f"{_short(address)}-{_short(version)}-{_plain(key)}"

    def newest(self, address: str, key: str) -> Path | None:
        """The copy of the object at `address` that was made last, whatever its version."""
        versions = self._folder_of(address).glob(f"{_short(address)}-*-{_plain(key)}")
        made = ((stat.st_ctime_ns, path) for path, stat in with_stats(versions))
        return max(made, default=(0, None))[1]

    def has(self, path: Path, size: int) -> bool:
        """Whether the copy is there, complete."""
        return any(stat.st_size == size for _, stat in with_stats([path]))

    def _folder_of(self, address: str) -> Path:
        return self.folder / _short(address)[:2]

    def lock(self, path: Path) -> FileLock:
        """The lock under which `path` is made; one of 4,096, so that no file a key is left over."""
        self.locks.mkdir(parents=True, exist_ok=True)
        return FileLock(self.locks / f"{path.name[:3]}.lock")

    def hold(self, path: Path, size: int) -> Held | None:
        """Hold the copy at `path`, or None if it is absent or not of `size` bytes."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        _flock(file, fcntl.LOCK_SH)
        if not _is_still(path, file) or os.fstat(file.fileno()).st_size != size:
            file.close()
            return None
        os.utime(path, ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
        return Held(path, file)

    @contextmanager
    def making(self, path: Path, size: int) -> Iterator[Path]:
        """Yield a temporary path of `size` bytes, counted already; renamed to `path` on success.

        Raises:
            StorageError: the bound is too small for it, or the disk is full.
        """
        # The stack is left last: the file stays locked until after the renaming.
        with ExitStack() as held, atomic.replacing(path) as temporary:
            held.enter_context(self._reserve(temporary, size))
            yield temporary

    def _reserve(self, temporary: Path, size: int) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._ledger.with_suffix(".lock")):
            self._make_room(size)
            file = temporary.open("wb")
            _flock(file, fcntl.LOCK_SH)
        file.truncate(size)
        return file

    def used(self) -> int:
        """Bytes of all copies, counted now."""
        return sum(stat.st_size for _, stat in self._copies())

    def _make_room(self, size: int) -> None:
        """Under the ledger's lock: count `size` in, removing old copies if that is too much.

        The ledger only ever counts too much (a failed copy), never too little.
        """
        used = self._read_ledger()
        if used + size > self.limit:
            used = self._evict(self.limit - size)
        if used + size > self.limit:
            raise StorageError(
                f"no room for {size:,} bytes in {self.folder.parent}: {used:,} bytes are in use "
                f"and the bound is {self.limit:,}; raise BACKBENCH_STAGING_BYTES."
            )
        atomic.write_json(self._ledger, {"bytes": used + size})

    def _read_ledger(self) -> int:
        try:
            return int(json.loads(self._ledger.read_text())["bytes"])
        except (FileNotFoundError, ValueError, KeyError):
            return self.used()

    def _evict(self, target: int) -> int:
        """Remove the least recently used copies until `target` bytes are left; say what is left."""
        copies = sorted(self._copies(), key=_oldest_first)
        used = sum(stat.st_size for _, stat in copies)
        for path, stat in copies:
            if used <= target and path.suffix != ".tmp":
                break
            if _remove_unused(path):
                used -= stat.st_size
        return used

    def _copies(self) -> Iterator[tuple[Path, os.stat_result]]:
        return with_stats(self.folder.glob("*/*"))


class Recent(threading.local):
    """The last copies that a thread handed out, held."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()

    def keep(self, held: Held) -> Path:
        """Hold this one too, and let the oldest go."""
        self._held.append(held)
        while len(self._held) > RECENT:
            self._held.popleft().close()
        return held.path


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _plain(key: str) -> str:
    """The last part of a key as a safe file name: readers go by the suffix."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", key.rpartition("/")[2])[-100:]


def _oldest_first(copy: tuple[Path, os.stat_result]) -> tuple[bool, int]:
    """Leftovers of killed processes first: nobody holds them."""
    path, stat = copy
    return path.suffix != ".tmp", stat.st_atime_ns


def _remove_unused(path: Path) -> bool:
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _flock(file: BinaryIO, kind: int) -> None:
    try:
        fcntl.flock(file, kind)
    except OSError as error:
        file.close()
        raise StorageError(
            f"the file system of {file.name} has no file locks ({error.strerror}): "
            "put BACKBENCH_HOME on one that has."
        ) from error


def _is_still(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still names the file that was opened: it may have been removed meanwhile."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _limit() -> int:
    given = os.environ.get("BACKBENCH_STAGING_BYTES") or str(DEFAULT_BYTES)
    if not given.isdecimal():
        raise StorageError(f"BACKBENCH_STAGING_BYTES is '{given}', but has to be a whole number.")
    return int(given)
