"""Recording a run: into the spool first, then to the server by the one replay there is."""

import getpass
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from rich.console import Console

import backbench
from backbench.errors import BackbenchError, TrackingError, UnreachableError
from backbench.files import atomic
from backbench.runs import connection, spool, tags
from backbench.runs.environment import git_state
from backbench.runs.record import (
    LONGEST_PARAM,
    LONGEST_TAG,
    Dataset,
    Point,
    Record,
    file_name,
    is_defined,
    metric_key,
)
from backbench.runs.redact import redacted
from backbench.runs.replay import replay

_open: ContextVar["Recording | None"] = ContextVar("open recording", default=None)


class Recording:
    """A run being recorded. Nothing of it is visible before it ends, then all of it.

    Attributes:
        identity: its name for ever, on every server.
        run_id: of the MLflow run: known from the start where `mlflow run` made one, else after
            the end; `spool:<identity>` while it waits in the spool.
        experiment_id: of the MLflow experiment, after the end, where the server has the run.
    """

    def __init__(
        self,
        draft: spool.Draft,
        *,
        identity: str,
        parent: "Recording | None" = None,
        adopts: str | None = None,
        start: float | None = None,
    ) -> None:
        self.identity, self.parent = identity, parent
        self.run_id = adopts or f"spool:{identity}"
        self.experiment_id: str | None = None
        self.tags: dict[str, str] = {}
        self.params: dict[str, str] = {}
        self.note = ""
        self.has_children = False
        self.adopts, self.draft = adopts, draft
        self._points: list[Point] = []
        self._undefined: dict[str, int] = {}
        self._dataset: Dataset | None = None
        self._start = _now() if start is None else int(start * 1000)

    @property
    def is_on_server(self) -> bool:
        """Whether the server has it in full."""
        return self.experiment_id is not None

    @property
    def link(self) -> str | None:
        """Its web page, where there is a server and it is there."""
        return connection.ui_link(self.experiment_id, self.run_id) if self.experiment_id else None

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """One value; NaN and infinities are counted in the tag `undefined` instead."""
        key, value = metric_key(name), float(value)
        if is_defined(value):
            self._points.append(Point(key, value, int(step or 0), _now()))
        else:
            self._undefined[key] = self._undefined.get(key, 0) + 1

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Several values of the same step."""
        for name, value in values.items():
            self.log_metric(name, value, step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Settings; one longer than MLflow takes goes to the artifact `params/<name>.txt`."""
        for name, value in params.items():
            self.params[metric_key(name)] = self._fit("params", name, str(value), LONGEST_PARAM)

    def set_tags(self, given: Mapping[str, object]) -> None:
        """Tags; None leaves one out, and an unknown `backbench.` tag is an error."""
        for name, value in tags.checked(given).items():
            self.tags[name] = self._fit("tags", name, value, LONGEST_TAG)

    def set_note(self, markdown: str) -> None:
        """The description on the run's page."""
        self.note = self._fit("notes", "note", markdown, LONGEST_TAG)

    def artifact(self, name: str) -> Path:
        """Where to write the artifact `name`, which may have folders in it.

        Raises:
            TrackingError: a name that leaves the folder of artifacts.
        """
        path = (self.draft.artifacts / name).resolve()
        if not path.is_relative_to(self.draft.artifacts.resolve()):
            raise TrackingError(f"the artifact name '{name}' leaves the run; use a relative one.")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def attach(self, source: Path, name: str | None = None) -> Path:
        """Copy a finished file among the artifacts, by default under its own name."""
        return Path(shutil.copyfile(source, self.artifact(name or source.name)))

    def dataset(self, name: str, digest: str, source: str, profile: str = "") -> None:
        """The one data set the run was made from; a digest longer than 36 characters is cut."""
        self._dataset = Dataset(name, digest[:36], source, profile)

    def _fit(self, folder: str, name: str, value: str, longest: int) -> str:
        if len(value) <= longest:
            return value
        place = f"{folder}/{file_name(name)}.txt"
        atomic.write_text(self.artifact(place), redacted(value))
        ending = f"\n... ({len(value)} characters; all of them in the artifact {place})"
        return value[: longest - len(ending)] + ending

    def record(self, experiment: str, name: str, status: str, reason: str | None) -> Record:
        """All of it as plain data, once it has ended."""
        undefined = _json(self._undefined) if self._undefined else None
        self.set_tags({tags.REASON: reason, tags.UNDEFINED: undefined})
        parent = self.parent
        known = parent.run_id if parent and not parent.run_id.startswith("spool:") else None
        return Record(
            identity=self.identity,
            experiment=os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment,
            experiment_id=os.environ.get("MLFLOW_EXPERIMENT_ID"),
            name=name,
            start=self._start,
            end=max(_now(), self._start),
            status=status,
            tags=self.tags,
            params=self.params,
            metrics=tuple(self._points),
            note=self.note,
            dataset=self._dataset,
            parent=parent.identity if parent else None,
            parent_run_id=known,
            has_children=self.has_children,
            adopts=self.adopts,
        )


@contextmanager
def recording(
    *,
    experiment: str,
    name: str,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    identity: str | None = None,
    parent: Recording | None = None,
    note: str = "",
    adopt: bool = False,
    start: float | None = None,
    console: Console | None = None,
) -> Iterator[Recording]:
    """Record what happens inside as one run.

    On leaving, the run is whole in the spool, then on the server, then no longer in the spool. An
    exception or Ctrl-C is recorded as FAILED or KILLED with its one line, and goes on. Where the
    server does not answer in time the run stays in the spool, and one line says so.

    Args:
        experiment: used where `mlflow run` or MLFLOW_EXPERIMENT_NAME name no other.
        name: of the run, for people.
        tags: known from the start; more can follow.
        params: known from the start; more can follow.
        identity: two records of one identity become one run; by default it is new.
        parent: the run this is a part of; by default the one being recorded around it.
        note: Markdown shown on the run's page.
        adopt: continue the run that `mlflow run` made for this process, if nobody has yet.
        start: when the work began, as `time.time()` told it; by default now.
        console: for the line that tells of a run left in the spool; by default stderr.

    Raises:
        TrackingError: the server refuses: before anything is done where that can be told, else
            at the end, with the run kept in the spool.
        StorageError: the spool cannot be written.
    """
    parent = parent or _open.get()
    if parent is None:
        _prepare(console)
    draft = spool.draft()
    run = Recording(
        draft,
        identity=identity or uuid.uuid4().hex,
        parent=parent,
        adopts=_take_adopted() if adopt and parent is None else None,
        start=start,
    )
    if parent:
        parent.has_children = True
    token = _open.set(run)
    try:
        run.set_tags(_own_tags(run) | dict(tags or {}))
        run.log_params(params or {})
        run.set_note(note)
        yield run
    except BaseException as error:
        status, reason = _ending(error)
        _close(run, run.record(experiment, name, status, reason), console, raising=False)
        raise
    else:
        fresh = identity is None
        _close(run, run.record(experiment, name, "FINISHED", None), console, fresh=fresh)
    finally:
        _open.reset(token)
        draft.release()


def _close(
    run: Recording,
    record: Record,
    console: Console | None,
    *,
    raising: bool = True,
    fresh: bool = False,
) -> None:
    folder = run.draft.finish(record)
    if connection.is_offline() or connection.silence.holds():
        return
    try:
        sent = replay(folder, unseen=fresh)
    except UnreachableError as error:
        connection.silence.begin()
        _tell(console, f"{error} The run waits in the spool; `backbench sync` sends it.")
    except TrackingError as error:
        line = f"{error} The run is kept in {folder}; `backbench sync` sends it."
        if raising:
            raise TrackingError(line) from error
        _tell(console, line)
    else:
        run.run_id, run.experiment_id = sent.run_id, sent.experiment_id
        spool.remove(folder)


def _prepare(console: Console | None) -> None:
    """Find out before the work whether the server will take it."""
    if connection.is_offline() or connection.silence.holds():
        return
    try:
        connection.connect()
    except UnreachableError as error:
        connection.silence.begin()
        _tell(console, f"{error} Until then runs go to the spool; `backbench sync` sends them.")


def _take_adopted() -> str | None:
    """The run `mlflow run` made for this process: taken once, so that only one run adopts it."""
    return os.environ.pop("MLFLOW_RUN_ID", None) or None


def _own_tags(run: Recording) -> dict[str, object]:
    own: dict[str, object] = {
        tags.IDENTITY: run.identity,
        tags.PARENT: run.parent.identity if run.parent else None,
        tags.VERSION: backbench.__version__,
    }
    if run.adopts:
        return own
    git = git_state()
    return own | {
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "backbench",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git["commit"] if git else None,
    }


def _ending(error: BaseException) -> tuple[str, str]:
    """Status and the one line of an exception."""
    if isinstance(error, SystemExit) and not error.code:
        return "FINISHED", "ended early"
    stopped = isinstance(error, KeyboardInterrupt | SystemExit)
    first = next(iter(str(error).strip().splitlines()), "")
    known = isinstance(error, BackbenchError) and first
    line = first if known else f"{type(error).__name__}: {first}".removesuffix(": ")
    return "KILLED" if stopped else "FAILED", redacted(line)


def _tell(console: Console | None, line: str) -> None:
    (console or Console(stderr=True)).print(line, style="yellow", markup=False, soft_wrap=True)


def _json(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
