"""`backbench sync`: send what waits in the spool, by the same replay as every other run."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.progress import Progress

from backbench.errors import BackbenchError, StorageError, TrackingError, UnreachableError
from backbench.files.home import spool_folder
from backbench.runs import connection, spool
from backbench.runs.record import Record
from backbench.runs.replay import replay

THREADS = 4
"""A server answers several at once; a SQLite file takes them in turns anyway."""


@dataclass
class SyncReport:
    """What a sync did.

    Attributes:
        sent: `identity -> run id` of runs that are now on the server, by this sync.
        there: the same of runs the server already had in full.
        failed: `folder -> line` of those that stay in the spool.
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
        """One line for a person."""
        parts = [
            (len(self.sent), "sent"),
            (len(self.there), "on the server already"),
            (len(self.failed), "failed"),
            (self.busy, "in another process's hands"),
            (self.left, "not tried"),
            (self.discarded, "half-written by killed processes and removed"),
        ]
        told = ", ".join(f"{count} {what}" for count, what in parts if count)
        return f"sync: {told or 'nothing to send'} ({self.seconds:.1f} s, {self.folder})"


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
    waves = _waves(spool.waiting(spooled), report)
    if waves:
        connection.connect()
        with Progress(console=console or Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("sync", total=sum(map(len, waves)))
            _send_all(waves, report, lambda: progress.advance(bar))
    report.seconds = time.monotonic() - started
    return report


def _waves(folders: Sequence[Path], report: SyncReport) -> list[list[Path]]:
    """Oldest first; what has its parent in the spool comes a wave after it."""
    records = dict(_readable(folders, report))
    by_identity = {record.identity: record for record in records.values()}
    waves: dict[int, list[Path]] = {}
    for folder, record in sorted(records.items(), key=lambda item: item[1].start):
        waves.setdefault(_depth(record, by_identity), []).append(folder)
    return [waves[depth] for depth in sorted(waves)]


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


def _send_all(waves: list[list[Path]], report: SyncReport, advance: Callable[[], None]) -> None:
    stop = Event()

    def send(folder: Path) -> None:
        if stop.is_set():
            report.left += 1
            return
        try:
            _send(folder, report)
        except UnreachableError as error:
            stop.set()
            report.failed[folder.name] = str(error)
        except BackbenchError as error:
            report.failed[folder.name] = str(error)
        advance()

    with ThreadPoolExecutor(THREADS) as pool:
        for wave in waves:
            list(pool.map(send, wave))


def _send(folder: Path, report: SyncReport) -> None:
    with spool.claimed(folder) as mine:
        if not mine:
            report.busy += folder.exists()
            return
        identity = Record.read(folder).identity
        sent = replay(folder)
        (report.there if sent.how == "there" else report.sent)[identity] = sent.run_id
        spool.remove(folder)
