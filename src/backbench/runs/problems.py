"""Whatever MLflow, its stores and their libraries raise, as one line without credentials."""

import re
from typing import Any
from urllib.parse import urlsplit

from backbench.errors import TrackingError, UnreachableError
from backbench.runs.redact import redacted

_DAMAGED = ("file is not a database", "disk image is malformed")
"""As SQLite says it."""


def as_one_line(error: Exception, uri: str) -> TrackingError:
    """What an error of MLflow means, and what to do about it."""
    where, text = redacted(uri), reason(str(error))
    status = status_of(error)
    if status == 401:
        return TrackingError(
            f"{where} wants credentials, or refuses these (401). Set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if status == 403:
        return TrackingError(
            f"{where} does not allow this (403): {text}. Ask its administrator for the right to "
            "write to the experiment, or for this host in --allowed-hosts."
        )
    if status is not None and status < 500:
        return TrackingError(f"{where} refuses ({status}): {text}")
    if status is not None or _is_connection_problem(error):
        return unreachable(uri, text)
    if any(mark in text for mark in _DAMAGED):
        return TrackingError(
            f"{where} is damaged, or no database ({text}). Put a copy of it back, or move it away: "
            "the next run makes a new one."
        )
    return TrackingError(f"{where} failed: {type(error).__name__}: {text}")


def unreachable(uri: str, problem: str) -> UnreachableError:
    """A server, or a database on this machine, that does not do what it is for."""
    if urlsplit(uri).scheme in ("sqlite", "file", ""):
        return UnreachableError(
            f"the tracking store {redacted(uri)} cannot be used ({problem}). Free space there or "
            "correct MLFLOW_TRACKING_URI."
        )
    return UnreachableError(
        f"the tracking server {redacted(uri)} does not answer ({problem}). Start it, correct "
        "MLFLOW_TRACKING_URI, or set BACKBENCH_OFFLINE=1 to work with the spool alone."
    )


def status_of(error: Exception) -> int | None:
    """The HTTP status an error stands for, or None where none was received."""
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None):
        return int(response.status_code)  # type: ignore[union-attr]
    told = re.search(r"error code (\d{3})|HTTP(?: status)? (\d{3})|^(\d{3}) ", str(error))
    if told:
        return int(next(group for group in told.groups() if group))
    if type(error).__name__ == "MlflowException" and _is_connection_problem(error):
        return None
    code: Any = getattr(error, "get_http_status_code", None)
    return int(code()) if code else None


def _is_connection_problem(error: Exception) -> bool:
    marks = ("API request to", "Connection", "timed out", "Max retries", "timeout exception")
    return isinstance(error, ConnectionError | TimeoutError) or any(m in str(error) for m in marks)


def reason(text: str) -> str:
    """The telling part of a long message of MLflow, urllib3 or SQLAlchemy, in one line."""
    lines = redacted(text).strip().splitlines() or ["no reason given"]
    told = re.search(
        r"(Connection refused|Name or service not known|timed out|reset by peer"
        r"|certificate verify failed[^)']*|Temporary failure in name resolution)",
        text,
    )
    return told.group(1) if told else lines[0][:300]
