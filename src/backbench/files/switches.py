"""Environment variables that are on or off, or just there, read alike everywhere."""

import os

from backbench.errors import TaskError, unknown

OFFLINE = "BACKBENCH_OFFLINE"
SERVE_PATHS = "BACKBENCH_SERVE_PATHS"
_BEGUN = "MLFLOW_RUN_ID"
_ON = frozenset({"1", "on", "true", "yes"})
_OFF = frozenset({"0", "off", "false", "no"})


def is_on(name: str) -> bool:
    """Whether a variable says `1`, `on`, `true` or `yes`; `0`, `off`, `false`, `no` or nothing: no.

    Raises:
        TaskError: it says something else.
    """
    value = os.environ.get(name, "").strip().lower() or "off"
    if value not in _ON | _OFF:
        raise TaskError(unknown(f"value of {name}", value, _ON | _OFF))
    return value in _ON


def is_offline() -> bool:
    """Whether the user forbade the network: no tracking server, bucket or hub is asked."""
    return is_on(OFFLINE)


def begun_by_mlflow() -> bool:
    """Whether `mlflow run` started this process, and began a run that nobody has continued yet."""
    return _BEGUN in os.environ
