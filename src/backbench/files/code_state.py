"""Which state of Backbench's own code is running, where it is run from a clone."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any


@cache
def git_state() -> dict[str, Any] | None:
    """Commit and whether files differ from it; None where there is no clone with a commit.

    Of the clone that this file lies in: the user's folder may be one too, of other code.
    """
    source = Path(__file__)
    commit = _git(source.parent, "rev-parse", "HEAD")
    if not (commit and _git(source.parent, "ls-files", "--", source.name)):
        return None
    status = _git(source.parent, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
