"""Artifacts of ended runs on this machine: read where they are, or fetched once and kept."""

import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from backbench.errors import StorageError, TrackingError
from backbench.files.home import artifacts_folder
from backbench.files.transfer import in_parallel
from backbench.runs import connection

if TYPE_CHECKING:
    from backbench.runs.tracker import Run


def listed(run: "Run", folder: str = "") -> list[str]:
    """Paths of the files directly in a folder of a run's artifacts."""
    local = _local(run)
    if local:
        here = local / folder
        files = (path for path in here.iterdir() if path.is_file()) if here.is_dir() else ()
        return sorted(path.relative_to(local).as_posix() for path in files)
    client = connection.connect()
    with connection.translated():
        found = client.list_artifacts(run.run_id, folder or None)
    return sorted(info.path for info in found if not info.is_dir)


def here(run: "Run", path: str) -> Path:
    """A file or folder of a run's artifacts, as a local path not to be written to.

    Raises:
        TrackingError: there is none of this name, or the server does not give it.
    """
    local = _local(run)
    if local is not None:
        if not (local / path).exists():
            raise TrackingError(f"run {run.run_id} ({run.name}) has no artifact '{path}'.")
        return local / path
    kept = _kept(run, path)
    return kept if kept.exists() else _fetch(run, path, kept)


def fetch(runs: Iterable["Run"], paths: Sequence[str]) -> None:
    """Have files of several runs here, those of remote ones fetched in threads.

    What the server does not have or give is left out; `here` says so when it is asked for.

    Raises:
        StorageError: they cannot be kept.
    """
    remote = [run for run in runs if _local(run) is None]
    missing = [(run, p) for run in remote for p in paths if not _kept(run, p).exists()]

    def one(wanted: "tuple[Run, str]") -> None:
        with suppress(TrackingError):
            here(*wanted)

    # The first one alone: not every store's client may be made in two threads at once.
    in_parallel(one, missing[:1])
    in_parallel(one, missing[1:])


def _local(run: "Run") -> Path | None:
    """Where a run's artifacts lie on this machine without being fetched."""
    parts = urlsplit(run.artifacts)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else run.artifacts)
    return path if path.is_dir() else None


def _kept(run: "Run", path: str) -> Path:
    """Where an artifact that has to be fetched is kept."""
    return artifacts_folder() / run.run_id / path


def _fetch(run: "Run", path: str, kept: Path) -> Path:
    temporary = artifacts_folder() / ".tmp" / uuid.uuid4().hex
    client = connection.connect()
    try:
        temporary.mkdir(parents=True)
        with connection.translated():
            fetched = Path(client.download_artifacts(run.run_id, path, str(temporary)))
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            fetched.replace(kept)
    except OSError as error:
        raise StorageError(
            f"cannot keep artifact '{path}' in {kept.parent}: {error.strerror or error}. "
            "Free space there or choose another folder with BACKBENCH_HOME."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kept
