"""Reading runs: found by tag on the server or in the spool."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbench.errors import StorageError, TrackingError
from backbench.files.switches import is_offline
from backbench.runs import artifacts, connection, pages, spool, tags
from backbench.runs.lookup import is_whole
from backbench.runs.record import ARTIFACTS, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 500
_SPOOLED = "spool:"


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        run_id: of MLflow, or `spool:<identity>`.
        start: milliseconds since 1970.
        metrics: the value at the last step of each.
        source: server or spool.
        artifacts: where its artifacts lie, as a URI or a path.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start: int
    tags: Mapping[str, str] = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)
    source: str
    experiment_id: str | None = None
    artifacts: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        """The same on every server and in the spool."""
        return self.tags.get(tags.IDENTITY, self.run_id)


class Tracker:
    """Runs of the tracking server, and those of this machine's spool that wait for it."""

    def find(
        self,
        wanted: Mapping[str, str],
        *,
        status: str | None = "FINISHED",
        limit: int | None = None,
    ) -> list[Run]:
        """Runs with all these tags, newest first; one search over all active experiments.

        With `BACKBENCH_OFFLINE=1` only the spool is read. A run counts once everything of it has
        arrived.

        Args:
            wanted: `tag -> value`, all of which have to be equal.
            status: FINISHED, FAILED or KILLED; None for any.
            limit: at most so many.

        Raises:
            UnreachableError: the server does not answer.
            TrackingError: it refuses.
        """
        spooled = [run for run in _spooled() if _fits(run, wanted, status)]
        served = [] if is_offline() else list(_served(wanted, status, limit))
        known = {run.identity for run in served}
        together = served + [run for run in spooled if run.identity not in known]
        together.sort(key=lambda run: run.start, reverse=True)
        return together[:limit]

    def get(self, run_id: str) -> Run:
        """One run by its id.

        Raises:
            TrackingError: there is no such run.
        """
        if run_id.startswith(_SPOOLED):
            # It may be synced by now; who wrote the id down goes on calling it so.
            found = self.find({tags.IDENTITY: run_id.removeprefix(_SPOOLED)}, status=None)
            if not found:
                raise TrackingError(f"{run_id} is neither in the spool nor on the server.")
            return found[0]
        client = connection.connect()
        with connection.translated():
            return _run(client.get_run(run_id), _names(client))

    def artifacts(self, run: Run, folder: str = "") -> list[str]:
        """Paths of the files directly in a folder of a run's artifacts."""
        return artifacts.listed(self._present(run), folder)

    def download(self, run: Run, path: str) -> Path:
        """A file or folder of a run's artifacts, as a local path not to be written to.

        It is fetched once: artifacts of ended runs do not change.

        Raises:
            TrackingError: there is none of this name, or the server does not give it.
        """
        return artifacts.here(self._present(run), path)

    def fetch(self, runs: Iterable[Run], paths: Sequence[str]) -> None:
        """Have files of several runs on this machine, those of remote ones fetched in threads.

        What the server does not have or give is left out; `download` says so when asked for it.
        """
        there = []
        for run in runs:
            with suppress(TrackingError):
                there.append(self._present(run))
        artifacts.fetch(there, paths)

    def _present(self, run: Run) -> Run:
        """The run where it is now: another process may have sent it since it was found."""
        sent = run.source == "spool" and not Path(run.artifacts).is_dir()
        return self.get(run.run_id) if sent else run

    def link(self, run: Run) -> str | None:
        """The run's web page; None without a server."""
        if run.experiment_id is None:
            return None
        return pages.ui_link(run.experiment_id, run.run_id, self._ui_root)

    @cached_property
    def _ui_root(self) -> str | None:
        return pages.ui_root()


def _served(wanted: Mapping[str, str], status: str | None, limit: int | None) -> Iterator[Run]:
    client = connection.connect()
    with connection.translated():
        names = _names(client)
        if not names:
            return
        token, count = None, 0
        while True:
            page = client.search_runs(
                list(names),
                _filter(wanted, status),
                max_results=min(limit or PAGE, PAGE),
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            for found in page:
                run = _run(found, names)
                if is_whole(found) and _fits(run, wanted, status):
                    yield run
                    count += 1
            token = page.token
            if not token or (limit is not None and count >= limit):
                return


def _names(client: "MlflowClient") -> dict[str, str]:
    """`id -> name` of the active experiments."""
    names: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        names |= {found.experiment_id: found.name for found in page}
        token = page.token
        if not token:
            return names


def _filter(wanted: Mapping[str, str], status: str | None) -> str:
    """The search; a value with both kinds of quotes is left to `_fits`."""
    clauses = [f"attributes.status = '{status}'"] if status else []
    for name, value in wanted.items():
        quote = '"' if "'" in value else "'"
        if quote not in value:
            clauses.append(f"tags.`{name}` = {quote}{value}{quote}")
    return " AND ".join(clauses)


def _fits(run: Run, wanted: Mapping[str, str], status: str | None) -> bool:
    same = all(run.tags.get(name) == value for name, value in wanted.items())
    return same and status in (None, run.status)


def _run(found: Any, names: Mapping[str, str]) -> Run:  # noqa: ANN401 - mlflow.entities.Run
    info, data = found.info, found.data
    return Run(
        run_id=info.run_id,
        name=info.run_name or "",
        experiment=names.get(info.experiment_id, info.experiment_id),
        status=info.status,
        start=info.start_time or 0,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics=dict(data.metrics),
        source="server",
        experiment_id=info.experiment_id,
        artifacts=info.artifact_uri,
    )


def _spooled() -> Iterator[Run]:
    for folder in spool.waiting():
        try:
            record = Record.read(folder)
        except StorageError:
            if folder.exists():
                raise
            continue  # sent by another process at this very moment
        yield Run(
            run_id=_SPOOLED + record.identity,
            name=record.name,
            experiment=record.experiment,
            status=record.status,
            start=record.start,
            tags=record.tags,
            params=record.params,
            metrics=record.latest,
            source="spool",
            artifacts=str(folder / ARTIFACTS),
        )
