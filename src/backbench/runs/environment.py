"""What a result was made with: versions, machine, git state. Never an environment variable."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import backbench


def environment() -> dict[str, Any]:
    """Python, platform, processor, threads, git state and the version of every package.

    Imports torch for its thread count only where something else has already done so.
    """
    return {
        "backbench": backbench.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "torch_threads": _torch_threads(),
        "git": git_state(),
        "packages": _packages(),
    }


@cache
def git_state() -> dict[str, Any] | None:
    """Commit and whether files differ from it; None where Backbench is not run from a clone."""
    source = Path(backbench.__file__)
    if not _git(source.parent, "ls-files", "--", source.name):
        return None
    status = _git(source.parent, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(source.parent, "rev-parse", "HEAD"), "dirty": bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _torch_threads() -> int | None:
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _packages() -> dict[str, str]:
    return dict(sorted((d.name, d.version) for d in distributions() if d.name))
