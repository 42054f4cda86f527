"""The way to MLflow: its settings, and whether the server answers."""

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from backbench.errors import BackbenchError, TrackingError
from backbench.files.home import home
from backbench.files.switches import seconds
from backbench.runs.place import check_place
from backbench.runs.problems import as_one_line, reason, unreachable
from backbench.runs.redact import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

TIMEOUT = 10.0
"""Seconds a server has to answer; `BACKBENCH_TRACKING_TIMEOUT` says otherwise."""

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's 7 make a dead server cost four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",  # too long is an error, never cut in silence
    "GIT_PYTHON_REFRESH": "quiet",
}
_PLAIN_HTTP = {
    # MLflow's server sends head and body of an answer apart, and on a connection that is kept the
    # body waits 40 ms for the acknowledgement of the head. A new one is fast, and any worker's.
    "MLFLOW_HTTP_POOL_CONNECTIONS": "0",
}
_CHATTY = ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent", "mlflow.utils.environment")
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_RETRY_PAUSE = 0.5
SILENCE = 60.0
"""Seconds for which a server that did not answer is not asked again by this process."""


class Silence:
    """Remembers that the server did not answer, so that a chain of runs waits for it once."""

    def __init__(self) -> None:
        self._until = 0.0
        self._uri: str | None = None

    def begin(self) -> None:
        """From now on, for the present server."""
        self._until = time.monotonic() + SILENCE
        self._uri = os.environ.get("MLFLOW_TRACKING_URI")

    def holds(self) -> bool:
        """Whether the present server should not be asked."""
        same = self._uri == os.environ.get("MLFLOW_TRACKING_URI")
        return same and time.monotonic() < self._until


silence = Silence()


def tracking_timeout() -> float:
    """Seconds a server has to answer.

    Raises:
        TaskError: `BACKBENCH_TRACKING_TIMEOUT` is not a number of seconds.
    """
    return seconds("BACKBENCH_TRACKING_TIMEOUT", TIMEOUT)


def configure() -> None:
    """Give MLflow the settings a user has not given, and let it speak only of warnings."""
    plain = os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http://")
    for name, value in (_SETTINGS | (_PLAIN_HTTP if plain else {})).items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - configures its loggers, whose levels are set next

    for name in _CHATTY:
        logger = logging.getLogger(name)
        if logger.level != logging.WARNING:  # to set it makes every logger look its own up anew
            logger.setLevel(logging.WARNING)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else what plain MLflow uses here: `sqlite:///<folder>/mlflow.db`."""
    configure()
    import mlflow

    return str(mlflow.get_tracking_uri())


def connect() -> "MlflowClient":
    """A client of the tracking server, which has answered just now.

    Raises:
        UnreachableError: it did not answer in time.
        TrackingError: the URI cannot be used, or the credentials are refused.
    """
    uri = tracking_uri()
    with translated(uri):
        _check_answers(uri)
        return _client(uri, os.getpid())


@contextmanager
def translated(uri: str | None = None) -> Iterator[None]:
    """Turn whatever MLflow and its stores raise into one line without credentials."""
    try:
        yield
    except BackbenchError:
        raise
    except Exception as error:
        raise as_one_line(error, uri or tracking_uri()) from error


@contextmanager
def turn(uri: str) -> Iterator[None]:
    """Take turns with other processes at a SQLite file, which has room for one writer."""
    with machine_lock("sqlite", uri) if uri.startswith("sqlite") else nullcontext():
        yield


@cache
def _client(uri: str, process: int) -> "MlflowClient":  # noqa: ARG001 - not shared over a fork
    from mlflow import MlflowClient

    with turn(uri):
        if uri.startswith("sqlite:///") and ":memory:" not in uri:
            _make_whole(sqlite_path(uri))
        if _database(uri) in _PORTS:
            _log_in(uri)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
        if uri.startswith("sqlite:///") and ":memory:" not in uri:
            check_place(client, sqlite_path(uri))
        return client


def _log_in(uri: str) -> None:
    """MLflow asks a database ten times over minutes before it says that a password is wrong."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    create_sqlalchemy_engine(uri).connect().close()


def _make_whole(path: Path) -> None:
    """Make a new database beside its place: MLflow cannot go on from one a kill left half-made."""
    if path.exists() and path.stat().st_size:
        return
    from mlflow import MlflowClient

    making = path.with_name(f".{path.name}.making")
    making.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"sqlite:///{making.absolute()}").search_experiments(max_results=1)
    making.replace(path)


def machine_lock(what: str, name: str) -> FileLock:
    """A lock between processes of this machine and home; it dies with its process."""
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    folder = home() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())
    return FileLock(folder / f"{what}-{digest}.lock", thread_local=False)


def _check_answers(uri: str) -> None:
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        _wait_for_health(uri)
    elif scheme == "sqlite":
        _check_sqlite(uri)
    elif _database(uri) in _PORTS:
        _wait_for_port(uri)
    elif scheme not in ("", "file", "databricks", "databricks-uc"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI is '{redacted(uri)}', but has to start with http://, https://, "
            "sqlite:///, postgresql:// or file://."
        )


def _wait_for_health(uri: str) -> None:
    """Any answer but a gateway's complaint will do; credentials are tried by the first call."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    deadline = time.monotonic() + tracking_timeout()
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        try:
            creds = get_default_host_creds(uri)
            answer = http_request(
                creds, "/health", "GET", max_retries=0, timeout=left, raise_on_status=False
            )
            if answer.status_code not in (502, 503, 504):
                return
            problem = f"HTTP {answer.status_code}"
        except MlflowException as error:
            problem = reason(str(error))
            if "certificate" in problem.lower():
                raise TrackingError(
                    f"the certificate of {redacted(uri)} is not trusted; name your authority's "
                    "file in MLFLOW_TRACKING_SERVER_CERT_PATH."
                ) from error
        if time.monotonic() + _RETRY_PAUSE >= deadline:
            raise unreachable(uri, problem)
        time.sleep(_RETRY_PAUSE)


def _database(uri: str) -> str:
    """`postgresql` of `postgresql+psycopg://...`."""
    return urlsplit(uri).scheme.partition("+")[0]


def _wait_for_port(uri: str) -> None:
    import socket

    parts = urlsplit(uri)
    if not parts.hostname:
        return
    try:
        address = (parts.hostname, parts.port or _PORTS[_database(uri)])
        socket.create_connection(address, timeout=tracking_timeout()).close()
    except OSError as error:
        raise unreachable(uri, error.strerror or str(error)) from error


def _check_sqlite(uri: str) -> None:
    path = sqlite_path(uri)
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        problem = "is a folder" if path.is_dir() else f"has no folder {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        problem = "cannot be written"
    else:
        return
    raise TrackingError(
        f"the tracking database {path} {problem}. Make the folder, change its permissions or "
        "name another one: MLFLOW_TRACKING_URI=sqlite:////path/to/mlflow.db."
    )


def sqlite_path(uri: str) -> Path:
    """The file of a `sqlite:///` URI."""
    name = unquote(urlsplit(uri).path)[1:] if not uri.startswith("sqlite:////") else None
    return Path(name if name is not None else unquote(uri.removeprefix("sqlite:///")))
