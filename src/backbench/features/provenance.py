"""What is written down about each extraction: when, where, from which code, how fast."""

import platform
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backbench.files.code_state import git_state

IMPORTED = "imported"
"""In place of a library and of a precision: something else computed these features."""

_LIBRARIES = ("backbench", "torch", "timm", "open_clip_torch", "transformers", "numpy", "pillow")


def begin_session(**facts: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """A session as plain JSON: id, date, versions, Backbench's commit, platform, and `facts`."""
    return {
        "id": uuid.uuid4().hex,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_sha": _commit(),
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


def _commit() -> str:
    """Of Backbench, with `-dirty` where files differ from it; empty where it is no clone."""
    git = git_state()
    return git["commit"] + "-dirty" * git["dirty"] if git else ""
