"""A run as plain data: what is written to `record.json` and replayed to MLflow."""

import json
import math
import posixpath
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from backbench.errors import StorageError
from backbench.files import atomic
from backbench.runs.redact import redacted

FORMAT = 1
RECORD_FILE = "record.json"
ARTIFACTS = "artifacts"
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_KEY = 250

_NOT_IN_A_KEY = re.compile(r"[^/\w.\- :]")


class Point(NamedTuple):
    """One value of a metric; `time` in milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class Dataset:
    """The data a run was made from: a name, a digest of at most 36 characters, where it lies."""

    name: str
    digest: str
    source: str
    profile: str = ""


@dataclass(frozen=True)
class Record:
    """Everything MLflow has to know about a finished run but its artifacts.

    Attributes:
        identity: one run on a server, however often it is sent.
        experiment, experiment_id: where it belongs; the id wins where the server knows it.
        start, end: milliseconds since 1970.
        status: FINISHED, FAILED or KILLED.
        parent: identity of the run it is a part of; `parent_run_id` where that is known.
        has_children: whether runs were recorded inside it.
        adopts: id of the run `mlflow run` had made for it.
    """

    identity: str
    experiment: str
    name: str
    start: int
    end: int
    status: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: tuple[Point, ...] = ()
    note: str = ""
    dataset: Dataset | None = None
    parent: str | None = None
    parent_run_id: str | None = None
    has_children: bool = False
    adopts: str | None = None
    experiment_id: str | None = None

    def write(self, folder: Path) -> Path:
        """Write `folder/record.json`, credentials struck out."""
        content = {"format": FORMAT} | _without_secrets(asdict(self))
        text = json.dumps(content, indent=1, allow_nan=False)
        return atomic.write_text(folder / RECORD_FILE, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """The record of a spool directory.

        Raises:
            StorageError: no such record, or one this version cannot read.
        """
        try:
            content: dict[str, Any] = json.loads((folder / RECORD_FILE).read_text())
            content["metrics"] = tuple(Point(*point) for point in content["metrics"])
            content["dataset"] = content["dataset"] and Dataset(**content["dataset"])
            if content.pop("format") == FORMAT:
                return cls(**content)
            error: Exception = ValueError("another format")
        except (OSError, ValueError, KeyError, TypeError) as caught:
            error = caught
        raise StorageError(
            f"{folder} is not a run record of this version ({error}). "
            "Move it out of the spool, or sync it with the version that wrote it."
        ) from error

    @property
    def latest(self) -> dict[str, float]:
        """The value of each metric at its last step, as MLflow's run table shows it."""
        ordered = sorted(self.metrics, key=lambda point: (point.step, point.time, point.value))
        return {point.key: point.value for point in ordered}


def _without_secrets(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value


def metric_key(name: str) -> str:
    """`name` as MLflow takes it: other characters than letters, digits and `_-./ :` become `_`."""
    key = _NOT_IN_A_KEY.sub("_", name)[:LONGEST_KEY]
    is_path = posixpath.normpath(key) == key and not key.startswith((".", "/"))
    return key if is_path else re.sub(r"[/.]", "_", key) or "_"


def is_defined(value: float) -> bool:
    """Whether a metric value is a number at all."""
    return math.isfinite(value)


def file_name(key: str) -> str:
    """`key` as a file name."""
    return re.sub(r"[^\w.\-]", "_", key)
