"""The spool: one directory a run, written whole, owned by one process at a time.

::

    spool/
      .locks/<token>.lock          held by whoever writes, sends or removes <token>
      .tmp-<token>/                being recorded
      <start ms>-<token>/          finished: record.json and artifacts/

A lock dies with its process, so what a killed process leaves can be taken over at once.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from backbench.errors import StorageError
from backbench.files.home import spool_folder
from backbench.runs.record import ARTIFACTS, RECORD_FILE, Record

_DRAFT = ".tmp-"
_LOCKS = ".locks"


@dataclass
class Draft:
    """A directory being recorded; its lock is held until `release`."""

    spool: Path
    token: str
    lock: FileLock

    @property
    def folder(self) -> Path:
        """Where it is written before it is whole."""
        return self.spool / f"{_DRAFT}{self.token}"

    @property
    def artifacts(self) -> Path:
        """Its artifacts, in the layout the server will show."""
        return self.folder / ARTIFACTS

    def finish(self, record: Record) -> Path:
        """Write the record and rename the directory: from now on it is in the spool, whole."""
        record.write(self.folder)
        whole = self.spool / f"{record.start:013d}-{self.token}"
        self.folder.rename(whole)
        return whole

    def release(self) -> None:
        """Let others have it; an unfinished directory is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _release(self.lock, keep=any(self.spool.glob(f"*-{self.token}")))


def draft() -> Draft:
    """A new directory in the spool, locked.

    Raises:
        StorageError: the spool cannot be written.
    """
    spool, token = spool_folder(), uuid.uuid4().hex
    with _writing(spool):
        (spool / _LOCKS).mkdir(parents=True, exist_ok=True)
        lock = _lock(spool, token)
        lock.acquire(blocking=False)
        made = Draft(spool, token, lock)
        made.artifacts.mkdir(parents=True)
    return made


def check_writable(spool: Path) -> None:
    """Tell before anything is sent that runs could be neither owned nor removed.

    Raises:
        StorageError: the spool cannot be written.
    """
    with _writing(spool):
        (spool / _LOCKS).mkdir(exist_ok=True)
        for folder in (spool, spool / _LOCKS):
            TemporaryFile(dir=folder).close()


def waiting(spool: Path | None = None) -> list[Path]:
    """Directories of finished runs, oldest first."""
    spool = spool or spool_folder()
    if not spool.is_dir():
        return []
    return sorted(
        path
        for path in spool.iterdir()
        if not path.name.startswith(".") and (path / RECORD_FILE).is_file()
    )


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Own a finished directory, or yield False where another process does or has removed it."""
    lock = _lock(folder.parent, _token(folder))
    (folder.parent / _LOCKS).mkdir(exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield (folder / RECORD_FILE).is_file()
    finally:
        _release(lock, keep=folder.exists())


def remove(folder: Path) -> None:
    """Remove a directory the server has in full; the record goes last, so that a kill shows."""
    gone = folder.with_name(f"{_DRAFT}{_token(folder)}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def discard_unfinished(spool: Path | None = None) -> int:
    """Remove what killed writers left half-written; returns how many there were."""
    spool, count = spool or spool_folder(), 0
    for folder in spool.glob(f"{_DRAFT}*") if spool.is_dir() else ():
        lock = _lock(spool, folder.name.removeprefix(_DRAFT))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        count += folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        _release(lock, keep=False)
    return count


@contextmanager
def _writing(spool: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to the spool {spool}: {error.strerror or error}. "
            "Free space there or name another folder with BACKBENCH_SPOOL."
        ) from error


def _token(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def _lock(spool: Path, token: str) -> FileLock:
    return FileLock(spool / _LOCKS / f"{token}.lock", thread_local=False)


def _release(lock: FileLock, *, keep: bool) -> None:
    if not keep:
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
