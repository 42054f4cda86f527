"""What is in a folder: also where other processes write to it, or where it links to others."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from backbench.errors import StorageError


def with_stats(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Each path with its stat; one that was removed or renamed since it was listed is left out."""
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted; links to folders are followed, those to a parent are not.

    Raises:
        StorageError: a folder cannot be listed.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unlisted):
        here = os.path.realpath(place)
        folders[:] = [name for name in folders if not _leads_back(place, name, here)]
        found += [Path(place, name) for name in names]
    return sorted(found)


def _leads_back(place: str, name: str, here: str) -> bool:
    """Whether a link is to the folder it lies in, or to one above that."""
    path = os.path.join(place, name)  # noqa: PTH118 - one Path a folder would cost more than it
    if not os.path.islink(path):  # noqa: PTH114
        return False
    return Path(here).is_relative_to(os.path.realpath(path))


def _unlisted(error: OSError) -> None:
    raise StorageError(
        f"cannot list '{error.filename}': {error.strerror}. Allow it to be read, or move it away."
    ) from error
