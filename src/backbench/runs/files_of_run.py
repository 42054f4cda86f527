"""Artifacts of a run, on this machine and on the server, as `relative/posix/path -> size`."""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import Run


def local_files(folder: Path) -> dict[str, int]:
    """Every file below a folder."""
    if not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


class ArtifactStore:
    """Where the server keeps the artifacts of one run."""

    def __init__(self, run: "Run", tracking_uri: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        self._store: Any = get_artifact_repository(run.info.artifact_uri, tracking_uri=tracking_uri)

    def sizes(self, names: Iterable[str]) -> dict[str, int | None]:
        """Files in the folders that hold `names`; None where the store does not tell a size."""
        folders = sorted({posixpath.dirname(name) for name in names})
        listed = (info for folder in folders for info in self._store.list_artifacts(folder or None))
        return {info.path: info.file_size for info in listed if not info.is_dir}

    def upload(self, folder: Path, missing: Mapping[str, int], everything: int) -> None:
        """Send the `missing` files of a folder that has `everything` many."""
        if missing and len(missing) == everything:
            self._store.log_artifacts(str(folder))
            return
        for name in missing:
            self._store.log_artifact(str(folder / name), posixpath.dirname(name) or None)

    def lacking(self, here: Mapping[str, int]) -> dict[str, int]:
        """Those of the local files that are not there, or are of another size."""
        there = self.sizes(here) if here else {}
        return {n: size for n, size in here.items() if there.get(n, -1) not in (size, None)}
