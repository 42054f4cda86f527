"""Recording a run: into the spool first, then to the server by the one replay there is."""

import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console

import backbench
from backbench.errors import (
    BackbenchError,
    ForbiddenError,
    StorageError,
    TrackingError,
    UnreachableError,
)
from backbench.files.account import user_name
from backbench.files.code_state import git_state
from backbench.files.home import spool_folder
from backbench.files.switches import is_offline
from backbench.runs import connection, spool, tags
from backbench.runs.open_run import Recording
from backbench.runs.record import Record
from backbench.runs.redact import redacted
from backbench.runs.replay import replay

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_open: ContextVar["Recording | None"] = ContextVar("open recording", default=None)


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
    needed: bool = True,
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
        needed: if not, and the server lets this user make no run, one line says so and nothing is
            kept: what was made is a reader's own.
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
        told = _full_disk(error) or error
        status, reason = _ending(told)
        _close(run, run.record(experiment, name, status, reason), console, raising=False)
        if told is error:
            raise
        raise told from error
    else:
        fresh = identity is None
        _close(
            run, run.record(experiment, name, "FINISHED", None), console, fresh=fresh, needed=needed
        )
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
    needed: bool = True,
) -> None:
    folder = run.draft.finish(record)
    if is_offline() or connection.silence.holds():
        return
    try:
        sent = replay(folder, unseen=fresh)
    except UnreachableError as error:
        connection.silence.begin()
        _tell(console, f"{error} The run waits in the spool; `backbench sync` sends it.")
    except TrackingError as error:
        if isinstance(error, ForbiddenError) and not needed:
            spool.remove(folder)
            run.run_id = ""
            _tell(console, f"{error} This run is not recorded.")
            return
        line = f"{error} The run is kept in {folder}; `backbench sync` sends it."
        if raising:
            raise TrackingError(line) from error
        _tell(console, line)
    else:
        run.run_id, run.experiment_id = sent.run_id, sent.experiment_id
        spool.remove(folder)


def _prepare(console: Console | None) -> None:
    """Find out before the work whether the server will take it."""
    if is_offline() or connection.silence.holds():
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
        "mlflow.user": user_name(),
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


def _full_disk(error: BaseException) -> StorageError | None:
    """Any library's complaint of a full disk, as the line of ours; safetensors' has no number."""
    full = isinstance(error, OSError) and error.errno in _FULL
    if not full and "No space left on device" not in str(error):
        return None
    return StorageError(
        f"the disk is full ({' '.join(str(error).split())[:300]}): free space in {spool_folder()} "
        "or name another folder with BACKBENCH_SPOOL, then run the same command again."
    )


def _tell(console: Console | None, line: str) -> None:
    (console or Console(stderr=True)).print(line, style="yellow", markup=False, soft_wrap=True)
