"""A chain that ran in a folder and home of its own, to look at from tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Chain:
    """Where it ran, and the task it ran."""

    def __init__(self, folder: Path, task: str) -> None:
        self.folder, self.task = folder, task

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside its folder and home, as the user who ran it."""
        before, home = Path.cwd(), os.environ.get("BACKBENCH_HOME")
        os.chdir(self.folder)
        os.environ["BACKBENCH_HOME"] = str(self.folder / "home")
        try:
            yield
        finally:
            os.chdir(before)
            os.environ["BACKBENCH_HOME"] = home or ""
