"""What is in a folder: also where other processes write to it, or where it links to others."""

import os
from collections.abc import Iterable, Iterator, Sequence
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
    """All files below a folder, sorted; links to folders are followed, but none that lead back.

    Raises:
        StorageError: a folder cannot be listed.
    """
    found: list[Path] = []
    above: dict[str, tuple[str, ...]] = {os.fspath(folder): ()}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unlisted):
        way = (*above.pop(place), os.path.realpath(place))
        inner = {name: os.path.join(place, name) for name in folders}  # noqa: PTH118 - a Path is slow
        folders[:] = [name for name in folders if not _leads_back(inner[name], way)]
        above |= {inner[name]: way for name in folders}
        found += [Path(place, name) for name in names]
    return sorted(found)


def _leads_back(path: str, way: Sequence[str]) -> bool:
    """Whether a link is to a folder passed on the way to it, or to one above such a folder."""
    if not os.path.islink(path):  # noqa: PTH114
        return False
    target = os.path.realpath(path)
    return any(Path(passed).is_relative_to(target) for passed in way)


def _unlisted(error: OSError) -> None:
    raise StorageError(
        f"cannot list '{error.filename}': {error.strerror}. Allow it to be read, or move it away."
    ) from error
