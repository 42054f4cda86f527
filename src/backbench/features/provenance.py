"""What is written down about each extraction: when, where, from which code, how fast."""

import platform
import subprocess
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

IMPORTED = "imported"
"""In place of a library and of a precision: something else computed these features."""

_LIBRARIES = ("backbench", "torch", "timm", "open_clip_torch", "transformers", "numpy", "pillow")


def begin_session(**facts: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A session as plain JSON: id, date, versions, git SHA, platform, and `facts`."""
    return {
        "id": uuid.uuid4().hex,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_sha": git_sha(),
        "python": platform.python_version(),
        "versions": versions(),
        **facts,
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers, as far as they are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_sha(folder: Path | None = None) -> str:
    """The commit checked out in `folder` (default: here), empty outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git from PATH
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # no git on this machine: the field stays empty
    return done.stdout.strip() if done.returncode == 0 else ""
