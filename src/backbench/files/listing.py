"""What is in a folder that other processes write to."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def with_stats(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Each path with its stat; one that was removed or renamed since it was listed is left out."""
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue
