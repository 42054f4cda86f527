"""`backbench sync`: send what waits in the spool, by the same replay as every other run."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from backbench.errors import BackbenchError, StorageError, TrackingError, UnreachableError
from backbench.files.home import spool_folder
from backbench.runs import connection, spool
from backbench.runs.lookup import in_stretch
from backbench.runs.record import Record
from backbench.runs.replay import Replay, replay

if TYPE_CHECKING:
    from mlflow import MlflowClient

THREADS = 4
"""A server answers several at once; a SQLite file takes them in turns anyway."""
TOGETHER = 50
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
        UnreachableError: the server does not answer at all.
        TrackingError: it refuses, or `BACKBENCH_OFFLINE` forbids to ask it.
    """
    if connection.is_offline():
        raise TrackingError("BACKBENCH_OFFLINE is set; unset it to sync.")
    spooled = folder or spool_folder()
    started = time.monotonic()
    report = SyncReport(spooled, discarded=spool.discard_unfinished(spooled))
    chunks = list(_chunks(spool.waiting(spooled), report))
    if chunks:
        connection.connect()
        with Progress(console=console or Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("sync", total=sum(map(len, chunks)))
            for chunk in chunks:
                _Chunk(report).send(chunk)
                progress.advance(bar, len(chunk))
    report.seconds = time.monotonic() - started
    return report


def _chunks(folders: Sequence[Path], report: SyncReport) -> Iterator[list[Path]]:
    """Oldest first, a few at a time; what has its parent in the spool comes after that."""
    records = dict(_readable(folders, report))
    by_identity = {record.identity: record for record in records.values()}
    waves: dict[int, list[Path]] = {}
    for folder, record in sorted(records.items(), key=lambda item: item[1].start):
        waves.setdefault(_depth(record, by_identity), []).append(folder)
    for depth in sorted(waves):
        for start in range(0, len(waves[depth]), TOGETHER):
            yield waves[depth][start : start + TOGETHER]


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


class _Chunk:
    """Some directories sent together, each owned until the server has been seen to have it."""

    def __init__(self, report: SyncReport) -> None:
        self.report = report
        self.uri = connection.tracking_uri()
        self.is_cut_off = False
        self.pool = ThreadPoolExecutor(1 if self.uri.startswith("sqlite") else THREADS)

    def send(self, folders: Sequence[Path]) -> None:
        """Send all of them; what fails among the others is tried once more by itself."""
        with ExitStack() as claims, self.pool:
            mine = [f for f in folders if claims.enter_context(spool.claimed(f))]
            self.report.busy += sum(f.exists() for f in folders if f not in mine)
            sent = self._together(mine)
            rest = [folder for folder in mine if folder not in sent]
            for folder, one in {**sent, **dict(zip(rest, self._alone(rest), strict=True))}.items():
                self._note(folder, one)

    def _together(self, folders: Sequence[Path]) -> dict[Path, "Replay"]:
        """Those that were sent and seen to be whole, looked up by one search before and after."""
        try:
            with connection.translated(self.uri), connection.turn(self.uri):
                client = connection.connect()
                ways = [Replay(client, folder, self.uri) for folder in folders]
                sent = self._each(client, ways, Replay.send)
                return {way.folder: way for way in self._each(client, sent, Replay.check)}
        except BackbenchError:
            return {}  # each by itself tells its own reason

    def _each(
        self, client: "MlflowClient", ways: Sequence["Replay"], step: Callable[..., None]
    ) -> list["Replay"]:
        """The ways for which a step succeeded."""
        experiments = sorted({way.experiment for way in ways})
        known = in_stretch(client, experiments, [way.record for way in ways]) if ways else None
        if known is None:
            return []

        def took(way: Replay) -> bool:
            try:
                with connection.translated(self.uri):
                    if not self.is_cut_off:
                        step(way, known.get(way.record.identity, []))
            except UnreachableError:
                self.is_cut_off = True
            except BackbenchError:
                return False
            return not self.is_cut_off

        return [way for way, done in zip(ways, self.pool.map(took, ways), strict=True) if done]

    def _alone(self, folders: Sequence[Path]) -> list["Replay | str | None"]:
        """What became of each: sent, the line it failed with, or None where it was not tried."""

        def one(folder: Path) -> Replay | str | None:
            if self.is_cut_off:
                return None
            try:
                return replay(folder)
            except BackbenchError as error:
                self.is_cut_off = isinstance(error, UnreachableError)
                return str(error)

        return list(self.pool.map(one, folders))

    def _note(self, folder: Path, one: "Replay | str | None") -> None:
        if one is None:
            self.report.left += 1
        elif isinstance(one, str):
            self.report.failed[folder.name] = one
        else:
            arrived = self.report.there if one.how == "there" else self.report.sent
            arrived[one.record.identity] = one.run_id
            spool.remove(folder)
