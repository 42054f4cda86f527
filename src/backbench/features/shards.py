"""One table of features that survives kills and many writers: a file, and shards not yet in it.

A running extraction writes finished rows as small files into `<file>.parts/`; each is complete or
not there at all. Consolidation, under a lock, streams the main file and all shards into a new main
file, renames it into place and only then removes the shards. So at any moment the union of main
file and shards holds every row that was ever finished.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from backbench.errors import FeatureError, StorageError
from backbench.features import store
from backbench.features.keys import contents_of, features_key, short_cuts
from backbench.features.store import Floats, Header, Session
from backbench.files.listing import with_stats

_STALE_SECONDS = 24 * 3600
_RETRIES = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Index:
    """Where each row is, without the features.

    Attributes:
        rows: `store.COLUMNS` (with `session` counting `sessions`), `file` (counting `files`)
            and `row`; one row a sample id, the newest.
        files: the main file, where there is one, and the shards.
        sessions: who computed what.
    """

    rows: pd.DataFrame
    files: tuple[Path, ...]
    sessions: tuple[Session, ...]

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Whether each row was computed as the reference is: in fp32, pictures in full `[N]`."""
        exact = np.array([not short_cuts(session) for session in self.sessions], dtype=bool)
        rows: NDArray[np.bool_] = exact[self.rows["session"].to_numpy(np.int64)]
        return rows

    def place(self, ids: NDArray[np.str_]) -> NDArray[np.int64]:
        """Which row each sample has `[n]`, -1 where it has none."""
        known = pd.Index(self.rows["sample_id"], dtype=object)
        found: NDArray[np.int64] = known.get_indexer(pd.Index(ids, dtype=object))
        return found


class ShardedFile:
    """The feature file at `path` with its shards; any number of processes may use it at once."""

    def __init__(self, path: Path, identity_key: str) -> None:
        self.path = path
        self.identity_key = identity_key
        self.parts_folder = path.with_name(path.name + ".parts")

    def parts(self) -> list[Path]:
        """Finished shards, oldest first."""
        return sorted(self.parts_folder.glob("[!.]*.h5"))

    def add(self, header: Header, session: Session, table: pd.DataFrame, X: Floats) -> Path:
        """Write a finished shard: `table` has `store.COLUMNS` but `session`, X is `[n, D]`."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}.h5"
        path = self.parts_folder / name
        rows, facts = table.assign(session=0), _provenance([session])
        for attempt in range(_RETRIES):
            try:
                store.write_file(path, header, [session], rows, [X], attributes=facts)
                break
            except StorageError as error:
                # A consolidation elsewhere may remove the empty folder at this very moment.
                if attempt == _RETRIES - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise
        return path

    def index(self) -> Index:
        """All rows there are.

        Raises:
            FeatureError: a file is damaged, or belongs to another vector space.
        """
        # Shards first: one that vanishes meanwhile is in the main file that is read after it.
        parts = [found for path in self.parts() if (found := self._look(path))]
        main = self._look(self.path)
        return _union([main, *parts] if main else parts)

    def consolidate(
        self, session: Session | None = None, touched: pd.DataFrame | None = None
    ) -> Index:
        """Bring all shards into the main file and return the index of what is there now.

        Args:
            session: the final form of a session whose shards were written earlier.
            touched: `sample_id, size, mtime_ns` of files whose content is unchanged.

        Raises:
            StorageError: the disk is full; main file and shards stay as they were.
        """
        with self.lock():
            self._sweep()
            index = _updated(self.index(), session, touched)
            parts = [path for path in index.files if path != self.path]
            if parts or (touched is not None and len(touched)):
                self._rewrite(index)
            _remove(parts, self.parts_folder)
            return self.index()

    def steadily(self, read: Callable[[Index], T]) -> T:
        """Read features by an index, again under the lock if another process replaced files."""
        try:
            before = self._mark()
            result = read(self.index())
            if before == self._mark():
                return result
        except FileNotFoundError:
            pass  # a shard was consolidated away in between
        with self.lock():
            return read(self.index())

    def lock(self) -> FileLock:
        """Held by whoever replaces the main file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.path.name}.lock"))

    def _mark(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _look(self, path: Path) -> tuple[Path, pd.DataFrame, list[Session]] | None:
        try:
            header, sessions = store.read_header(path)
            table = store.read_table(path)
        except FileNotFoundError:
            return None
        if header.identity_key != self.identity_key:
            raise FeatureError(
                f"{path} holds vectors of the space {header.identity_key}, asked for is "
                f"{self.identity_key}. Move it away, then run extract again."
            )
        return path, table, sessions

    def _rewrite(self, index: Index) -> None:
        header = store.read_header(index.files[0])[0]
        order = np.lexsort((index.rows["row"], index.rows["file"]))
        rows = index.rows.iloc[order]
        sessions, rows = _in_use(index.sessions, rows)
        key = features_key(self.identity_key, contents_of(rows, sessions))
        attributes = _provenance(sessions) | {"key": key}
        blocks = (block for _, block in _walk(index.files, rows))
        store.write_file(self.path, header, sessions, rows, blocks, attributes=attributes)

    def _sweep(self) -> None:
        """Remove temporary files of writers that were killed."""
        for path in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            path.unlink(missing_ok=True)  # only the holder of the lock makes these
        for path, stat in with_stats(self.parts_folder.glob(".*.tmp")):
            if time.time() - stat.st_mtime > _STALE_SECONDS:
                path.unlink(missing_ok=True)


def gather(index: Index, rows: pd.DataFrame, out: NDArray[Any]) -> None:
    """Copy features into `out` `[n, D]` so that its row i is row i of `rows`, a part of the index.

    Files are read front to back in bounded blocks, whatever the order asked for.
    """
    place = rows.assign(place=np.arange(len(rows))).sort_values(["file", "row"])
    start = 0
    for _, block in _walk(index.files, place):
        out[place["place"].to_numpy()[start : start + len(block)]] = block
        start += len(block)


def _walk(files: Sequence[Path], rows: pd.DataFrame) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Blocks of the features of `rows`, which are sorted by file and row."""
    for number, path in enumerate(files):
        wanted = rows.loc[rows["file"] == number, "row"].to_numpy(np.int64)
        if len(wanted):
            yield from store.read_blocks(path, wanted)


def _union(found: list[tuple[Path, pd.DataFrame, list[Session]]]) -> Index:
    sessions: dict[str, Session] = {}
    tables = [pd.DataFrame(columns=[*store.COLUMNS, "file", "row"])]
    for number, (_, table, own) in enumerate(found):
        sessions |= {each["id"]: each for each in own if each["id"] not in sessions}
        places = np.array([list(sessions).index(each["id"]) for each in own], np.int64)
        codes = table["session"].to_numpy(np.int64)
        tables.append(table.assign(session=places[codes], file=number, row=np.arange(len(table))))
    rows = pd.concat(tables[1:] or tables, ignore_index=True)
    rows = rows.drop_duplicates("sample_id", keep="last").reset_index(drop=True)
    return Index(rows, tuple(path for path, _, _ in found), tuple(sessions.values()))


def _updated(index: Index, session: Session | None, touched: pd.DataFrame | None) -> Index:
    sessions = index.sessions
    if session is not None:
        sessions = tuple(session if each["id"] == session["id"] else each for each in sessions)
    rows = index.rows
    if touched is not None and len(touched):
        at = pd.Index(rows["sample_id"]).get_indexer(pd.Index(touched["sample_id"]))
        rows = rows.copy()
        for column in ("size", "mtime_ns"):
            values = rows[column].to_numpy(np.int64, copy=True)
            values[at[at >= 0]] = touched[column].to_numpy(np.int64)[at >= 0]
            rows[column] = values
    return Index(rows, index.files, sessions)


def _in_use(sessions: Sequence[Session], rows: pd.DataFrame) -> tuple[list[Session], pd.DataFrame]:
    """Forget sessions none of whose rows is left."""
    used, codes = np.unique(rows["session"].to_numpy(np.int64), return_inverse=True)
    return [sessions[i] for i in used], rows.assign(session=codes)


def _provenance(sessions: Sequence[Session]) -> dict[str, Any]:
    """What a reader with `h5dump` wants to see: the newest session, and all precisions."""
    newest = {name: value for name, value in max(sessions, key=_date).items() if name != "id"}
    return newest | {"precision": ",".join(sorted({str(s.get("precision")) for s in sessions}))}


def _date(session: Session) -> str:
    return str(session.get("date", ""))


def _remove(parts: Sequence[Path], folder: Path) -> None:
    for path in parts:
        path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return  # another writer has put a shard there, or nobody ever made the folder
