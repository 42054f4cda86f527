"""What a result was made with: versions, machine, git state. Never an environment variable."""

import os
import platform
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import backbench
from backbench.files.code_state import git_state


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


@cache
def _packages() -> dict[str, str]:
    return dict(sorted((d.name, d.version) for d in distributions() if d.name))
