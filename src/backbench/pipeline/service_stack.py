"""The parts of the service on this machine without Docker, by the scripts of the containers."""

import grp
import os
import pwd
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from backbench.errors import StorageError
from backbench.pipeline import service_programs
from backbench.pipeline.service_parts import (
    Part,
    owned,
    part,
    private,
    require_free,
    wait_ready,
)
from backbench.pipeline.service_settings import Settings, init, read

_DATABASE_USER = "postgres"


@contextmanager
def stack(settings: Settings, data: Path, *, tracking: bool = True) -> Iterator[list[Part]]:
    """Run the parts for the length of the block; `data` keeps their files.

    Raises:
        StorageError: a program is missing, a port is taken, a part does not come up, `data`
            cannot be written or another service uses it, or root's data folder cannot be entered
            by PostgreSQL's user.
    """
    scripts = _scripts(settings.folder)
    environment = _environment(settings, data)
    with ExitStack() as running:
        running.enter_context(owned(data))
        require_free(settings.ports)
        shutil.rmtree(data / "tmp", ignore_errors=True)  # half-received artifacts of a killed one
        private(data / "tmp")
        parts = [running.enter_context(_database(scripts, environment, data))]
        if settings.local_store:
            private(data / "objects")
            store = part("storage", ["sh", scripts / "storage.sh"], environment, data)
            parts.append(running.enter_context(store))
            wait_ready(["sh", scripts / "storage_ready.sh"], environment, parts)
        wait_ready(_pg_isready(settings), environment, parts)
        if tracking:
            server = part("tracking server", ["sh", scripts / "tracking.sh"], environment, data)
            parts.append(running.enter_context(server))
            wait_ready(["sh", scripts / "tracking_ready.sh"], environment, parts)
        yield parts


def up(
    folder: Path,
    *,
    data: Path | None = None,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run the service of `folder` until Ctrl-C, SIGTERM or `stop`, then end it cleanly.

    Args:
        folder: where service/ is, and `.env`, which is made if it is missing.
        data: the parts' files; `folder/service-data` by default.
        stop: ends the service when set.
        say: takes the lines for the person at the terminal.

    Raises:
        StorageError: see `stack`; or a part ended by itself again and again.
    """
    _scripts(folder)  # in a wrong folder nothing is written
    if not (folder / ".env").exists():
        say(f"Made {init(folder)} with new passwords.")
    settings, stop = read(folder), stop or threading.Event()
    data = (data or folder / "service-data").resolve()
    with suppress(_StoppedError), _stopped_by_signals(stop):
        say("Starting PostgreSQL, the object store and MLflow ...")
        with stack(settings, data) as parts:
            _tell(settings, data, say)
            while not stop.wait(0.5):
                for each in parts:
                    each.keep_up(say)
    say("Ended the tracking server, the store and the database.")


def _tell(settings: Settings, data: Path, say: Callable[[str], None]) -> None:
    """How clients come in; the password's place, not the password."""
    say(f"MLflow is at {settings.tracking_uri} (logs and data: {data}). Ctrl-C ends it.")
    say(f"Clients: export MLFLOW_TRACKING_URI={settings.tracking_uri}")
    say(
        f"  MLFLOW_TRACKING_USERNAME={settings['SERVICE_ADMIN_USERNAME']} and "
        f"MLFLOW_TRACKING_PASSWORD: SERVICE_ADMIN_PASSWORD in {settings.folder / '.env'}"
    )


def _scripts(folder: Path) -> Path:
    scripts = (folder / "service").resolve()
    if not (scripts / "tracking.sh").is_file():
        raise StorageError(f"{scripts} has no tracking.sh: run this where docker-compose.yml is.")
    return scripts


def _environment(settings: Settings, data: Path) -> dict[str, str]:
    """The containers' environment, with loopback and folders for their networks and volumes."""
    path = [Path(sys.executable).parent, service_programs.postgres_folder()]
    if settings.local_store:
        path.append(service_programs.weed().parent)
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "TMPDIR": str(data / "tmp"),
        "PATH": os.pathsep.join([*map(str, path), os.environ.get("PATH", "/usr/bin:/bin")]),
        **settings.values,
        "SERVICE_DATABASE_DATA": str(data / "database"),
        "SERVICE_DATABASE_HOST": "127.0.0.1",
        "SERVICE_DATABASE_LISTEN": "127.0.0.1",
        "SERVICE_STORE_DATA": str(data / "objects"),
        "SERVICE_STORE_LISTEN": "127.0.0.1",
        "SERVICE_TRACKING_LISTEN": "127.0.0.1",
    }


def _database(
    scripts: Path, environment: dict[str, str], data: Path
) -> AbstractContextManager[Part]:
    folder = data / "database"
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"cwd": folder}
    environment = environment | {"TMPDIR": str(folder)}
    if os.geteuid() == 0:
        options |= _as_database_user(folder)
    options["ended_by"] = signal.SIGINT  # PostgreSQL's fast shutdown: SIGTERM waits for clients
    return part("database", ["sh", scripts / "database.sh"], environment, data, **options)


def _as_database_user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: run it as its own user, who has to reach the folder."""
    try:
        user = pwd.getpwnam(_DATABASE_USER)
    except KeyError:
        raise StorageError(
            f"PostgreSQL does not run as root and there is no user '{_DATABASE_USER}': "
            "run this as an ordinary user."
        ) from None
    closed = [parent for parent in folder.parents if not _enters(parent, user)]
    if closed:
        raise StorageError(
            f"PostgreSQL does not run as root, and its user '{_DATABASE_USER}' cannot enter "
            f"{closed[-1]}: run this as an ordinary user, or choose another folder with --data."
        )
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    groups = [group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _enters(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    owner = status.st_uid == user.pw_uid and status.st_mode & 0o100
    return bool(owner or status.st_mode & 0o001)


def _pg_isready(settings: Settings) -> list[Any]:
    program = service_programs.postgres_folder() / "pg_isready"
    return [program, "-q", "-h", "127.0.0.1", "-p", settings["SERVICE_DATABASE_PORT"]]


class _StoppedError(Exception):
    """Ctrl-C or SIGTERM came, while starting or later."""


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Raise _StoppedError in the block on the first signal; later ones let the ending go on."""

    def handle(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            raise _StoppedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
