"""Environment variables that are on or off, a time, or just there, read alike everywhere."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

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


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables as given for the length of the block; None takes one away."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def seconds(name: str, default: float) -> float:
    """The duration that a variable says, above 0; `default` where it says nothing.

    Raises:
        TaskError: it says something else.
    """
    given = os.environ.get(name) or str(default)
    with suppress(ValueError):
        if 0 < float(given) < math.inf:
            return float(given)
    raise TaskError(f"{name} is '{given}', but has to be a number of seconds above 0.")


def begun_by_mlflow() -> bool:
    """Whether `mlflow run` started this process, and began a run that nobody has continued yet."""
    return _BEGUN in os.environ
