"""`backbench sync`: send what waits in the spool, by the same replay as every other run."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import Progress

from backbench.errors import BackbenchError, StorageError, TrackingError, UnreachableError
from backbench.files.home import spool_folder
from backbench.files.switches import is_offline
from backbench.runs import connection, spool
from backbench.runs.lookup import in_stretch
from backbench.runs.record import Record
from backbench.runs.replay import Replay, replay

if TYPE_CHECKING:
    from mlflow import MlflowClient

THREADS = 4
"""A server answers several at once; a SQLite file takes them in turns anyway."""
TOGETHER = 25
"""So many are looked up on the server by one search before they are sent, and one after."""

_TOLD = 5


@dataclass
class SyncReport:
    """What a sync did.

    Attributes:
        folder: the spool.
        sent: `identity -> run id` of runs that this sync has brought to the server.
        there: the same of runs the server already had in full.
        failed: `directory -> line` of those that stay in the spool.
        busy: how many another process was writing or sending.
        left: how many were not tried, because the server had stopped answering.
        discarded: half-written directories of killed processes that were removed.
        seconds: how long it took.
    """

    folder: Path
    sent: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    left: int = 0
    discarded: int = 0
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to send."""
        return not (self.failed or self.busy or self.left)

    def __str__(self) -> str:
        """One line for a person, and one for each of the first failures."""
        parts = [
            (len(self.sent), "sent"),
            (len(self.there), "on the server already"),
            (len(self.failed), "failed"),
            (self.busy, "in another process's hands"),
            (self.left, "not tried"),
            (self.discarded, "half-written by killed processes and removed"),
        ]
        told = ", ".join(f"{count} {what}" for count, what in parts if count)
        line = f"sync: {told or 'nothing to send'} ({self.seconds:.1f} s, {self.folder})"
        failures = [f"  {name}: {why}" for name, why in list(self.failed.items())[:_TOLD]]
        return "\n".join([line, *failures])


def sync(folder: Path | None = None, console: Console | None = None) -> SyncReport:
    """Send every finished run of the spool, oldest first and parents before their children.

    A directory is removed once the server has been seen to hold all of it. It can be interrupted,
    repeated and run from several places at once: one record stays one run.

    Args:
        folder: another spool than `home.spool_folder()`.
        console: for the progress bar; by default stderr.

    Raises:
        StorageError: `folder` is no folder, has the spool in it, or cannot be written.
        UnreachableError: the server does not answer at all.
        TrackingError: it refuses, or `BACKBENCH_OFFLINE` forbids to ask it.
    """
    if is_offline():
        raise TrackingError("BACKBENCH_OFFLINE is set; unset it to sync.")
    spooled = _named(folder) if folder else spool_folder()
    if spooled.is_dir():
        spool.check_writable(spooled)
    started = time.monotonic()
    report = SyncReport(spooled, discarded=spool.discard_unfinished(spooled))
    waves = list(_waves(spool.waiting(spooled), report))
    if waves:
        connection.connect()
        with Progress(console=console or Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("sync", total=sum(map(len, waves)))
            for chunk in _sent(waves):
                chunk.tell(report)
                progress.advance(bar, len(chunk.folders))
    report.seconds = time.monotonic() - started
    return report


def _named(folder: Path) -> Path:
    inside = folder / "spool"
    if folder.is_dir() and not inside.is_dir():
        return folder
    raise StorageError(f"{folder} is no spool: name {inside if inside.is_dir() else 'a folder'}.")


def _sent(waves: Sequence[Sequence[Path]]) -> Iterator["_Chunk"]:
    """Send a wave after the other, the chunks of one side by side: they wait for nothing."""
    server = _Server(connection.tracking_uri())
    threads = 1 if server.uri.startswith("sqlite") else THREADS
    with ThreadPoolExecutor(threads) as pool:
        for wave in waves:
            size = min(TOGETHER, -(-len(wave) // threads))
            starts = range(0, len(wave), size)
            chunks = [_Chunk(server, wave[start : start + size]) for start in starts]
            yield from pool.map(_Chunk.send, chunks)


def _waves(folders: Sequence[Path], report: SyncReport) -> Iterator[list[Path]]:
    """Oldest first; what has its parent in the spool comes in a later wave than that."""
    records = dict(_readable(folders, report))
    by_identity = {record.identity: record for record in records.values()}
    waves: dict[int, list[Path]] = {}
    for folder, record in sorted(records.items(), key=lambda item: item[1].start):
        waves.setdefault(_depth(record, by_identity), []).append(folder)
    for depth in sorted(waves):
        yield waves[depth]


def _readable(folders: Sequence[Path], report: SyncReport) -> Iterator[tuple[Path, Record]]:
    for folder in folders:
        try:
            yield folder, Record.read(folder)
        except StorageError as error:
            if folder.exists():
                report.failed[folder.name] = str(error)


def _depth(record: Record, by_identity: dict[str, Record]) -> int:
    depth, seen = 0, {record.identity}
    while record.parent in by_identity and record.parent not in seen:
        record = by_identity[record.parent]
        seen.add(record.identity)
        depth += 1
    return depth


@dataclass
class _Server:
    """Where to, and whether it has stopped answering, which counts for every chunk."""

    uri: str
    is_cut_off: bool = False


class _Chunk:
    """Some directories sent together, each owned until the server has been seen to have it."""

    def __init__(self, server: _Server, folders: Sequence[Path]) -> None:
        self.server, self.folders = server, folders
        self.busy = 0
        self.outcomes: dict[Path, Replay | str | None] = {}
        """Sent, the line it failed with, or None where it was not tried."""

    def send(self) -> Self:
        """Send all of them; what fails among the others is tried once more by itself."""
        with ExitStack() as claims:
            mine = [f for f in self.folders if claims.enter_context(spool.claimed(f))]
            self.busy = sum(f.exists() for f in self.folders if f not in mine)
            self.outcomes |= self._together(mine)
            for folder in mine:
                if folder not in self.outcomes:
                    self.outcomes[folder] = self._alone(folder)
                if isinstance(self.outcomes[folder], Replay):
                    spool.remove(folder)
        return self

    def tell(self, report: SyncReport) -> None:
        """Add what became of them."""
        report.busy += self.busy
        for folder, one in self.outcomes.items():
            if one is None:
                report.left += 1
            elif isinstance(one, str):
                report.failed[folder.name] = one
            else:
                arrived = report.there if one.how == "there" else report.sent
                arrived[one.record.identity] = one.run_id

    def _together(self, folders: Sequence[Path]) -> dict[Path, Replay]:
        """Those that were sent and seen to be whole, looked up by one search before and after."""
        uri = self.server.uri
        if self.server.is_cut_off:
            return {}
        try:
            with connection.translated(uri), connection.turn(uri):
                client = connection.connect()
                ways = [Replay(client, folder, uri) for folder in folders]
                sent = self._each(client, ways, Replay.send)
                return {way.folder: way for way in self._each(client, sent, Replay.check)}
        except BackbenchError:
            return {}  # each by itself tells its own reason

    def _each(
        self, client: "MlflowClient", ways: Sequence[Replay], step: Callable[..., None]
    ) -> list[Replay]:
        """The ways for which a step succeeded."""
        experiments = sorted({way.experiment for way in ways})
        known = in_stretch(client, experiments, [way.record for way in ways]) if ways else None
        if known is None:
            return []
        took = []
        for way in ways:
            try:
                with connection.translated(self.server.uri):
                    step(way, known.get(way.record.identity, []))
                    took.append(way)
            except UnreachableError:
                break
            except BackbenchError:
                continue
        return took

    def _alone(self, folder: Path) -> Replay | str | None:
        if self.server.is_cut_off:
            return None
        try:
            return replay(folder)
        except BackbenchError as error:
            self.server.is_cut_off |= isinstance(error, UnreachableError)
            return str(error)
