"""The settings and secrets of one service: `.env`, made once, read by compose and by `up`."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from backbench.errors import StorageError, unknown
from backbench.files.s3_address import ENDPOINT_VARIABLES
from backbench.files.switches import OFFLINE, environment

TRACKING_PORT, STORE_PORT, DATABASE_PORT = 5000, 8333, 55432
_PROFILES = ("local", "b2")
_LAST_PORT = 65_535
_GRPC = 10_000  # a part of the store has this so far above its port
_HEAD = (
    "# Made by `backbench service init`. Secret: keep it out of git, chat and logs.\n"
    "# Read by `docker compose` and by `backbench service up`. One NAME=value a line, no quotes.\n"
)


@dataclass(frozen=True)
class Settings:
    """What `.env` of `folder` says."""

    folder: Path
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """The value of a variable.

        Raises:
            StorageError: it is missing.
        """
        if name not in self.values:
            raise StorageError(f"{self.folder / '.env'} has no {name}: make it with service init.")
        return self.values[name]

    @property
    def local_store(self) -> bool:
        """Whether the object store runs here.

        Raises:
            StorageError: `COMPOSE_PROFILES` is none of `local` and `b2`.
        """
        profile = self["COMPOSE_PROFILES"]
        if profile not in _PROFILES:
            raise StorageError(unknown("COMPOSE_PROFILES in .env", profile, _PROFILES))
        return profile == "local"

    @property
    def ports(self) -> dict[str, list[int]]:
        """What is listened on here, by the variable it follows from.

        Raises:
            StorageError: a variable is no port.
        """
        above = {"SERVICE_TRACKING_PORT": [0], "SERVICE_DATABASE_PORT": [0]}
        if self.local_store:
            above["SERVICE_STORE_PORT"] = [*range(5), *range(_GRPC, _GRPC + 5)]
        return {name: [self._port(name, each) for each in more] for name, more in above.items()}

    @property
    def tracking_uri(self) -> str:
        """The address of the tracking server for clients on this machine's network."""
        return f"http://{self['SERVICE_HOST']}:{self['SERVICE_TRACKING_PORT']}"

    @property
    def bucket_uri(self) -> str:
        """Where artifacts are."""
        return f"s3://{self['SERVICE_STORE_BUCKET']}/"

    def _port(self, name: str, above: int) -> int:
        port = int(self[name]) + above if self[name].isdecimal() else 0
        if not 0 < port <= _LAST_PORT:
            limit = f"a number from 1 to {_LAST_PORT - above}"
            raise StorageError(f"{name} in {self.folder / '.env'} is '{self[name]}', not {limit}.")
        return port

    def database_uri(self, name: str) -> str:
        """Where the database `name` is, as this machine reaches it; with the password."""
        address = f"127.0.0.1:{self['SERVICE_DATABASE_PORT']}"
        return f"postgresql://mlflow:{self['SERVICE_DATABASE_PASSWORD']}@{address}/{name}"

    def store_access(self) -> AbstractContextManager[None]:
        """Let this process use the service's bucket, whatever the user's own variables say."""
        others = (*ENDPOINT_VARIABLES, "AWS_SESSION_TOKEN", "AWS_PROFILE", OFFLINE)
        own = {
            "AWS_ENDPOINT_URL_S3": self["SERVICE_STORE_URL"],
            "AWS_ACCESS_KEY_ID": self["SERVICE_STORE_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": self["SERVICE_STORE_SECRET_KEY"],
            "AWS_DEFAULT_REGION": self["SERVICE_STORE_REGION"],
        }
        return environment(dict.fromkeys(others) | own)


def init(
    folder: Path,
    *,
    host: str = "localhost",
    b2: bool = False,
    tracking_port: int = TRACKING_PORT,
    store_port: int = STORE_PORT,
    database_port: int = DATABASE_PORT,
) -> Path:
    """Write `folder/.env` with random passwords, readable by its owner only.

    Args:
        folder: where docker-compose.yml is.
        host: the name under which other machines reach this one; with `localhost`, the default,
            the containers publish nothing beyond this machine.
        b2: instead of a store here use a bucket elsewhere, from `B2_APPLICATION_KEY_ID`,
            `B2_APPLICATION_KEY`, `B2_ENDPOINT`, `B2_BUCKET` and `B2_REGION`, or the AWS variables.
        tracking_port: of MLflow.
        store_port: of the object store; the four ports after it are used too.
        database_port: of PostgreSQL, on loopback only.

    Returns:
        The path of the file.

    Raises:
        StorageError: the file exists, `host` is no bare name, two parts would have one port, or a
            variable of the bucket is missing or no address.
    """
    if not re.fullmatch(r"\w[\w.-]*", host):
        raise StorageError(f"host '{host}' has to be a name alone, without http:// or a port.")
    values = {
        "COMPOSE_PROFILES": "b2" if b2 else "local",
        "SERVICE_HOST": host,
        "SERVICE_PUBLISH": "127.0.0.1" if host == "localhost" else "0.0.0.0",  # noqa: S104 - asked
        "SERVICE_TRACKING_PORT": str(tracking_port),
        "SERVICE_TRACKING_WORKERS": "2",
        "SERVICE_ALLOWED_HOSTS": _allowed_hosts(host),
        "SERVICE_ALLOWED_ORIGINS": f"http://{host}:{tracking_port},https://{host}",
        "SERVICE_ADMIN_USERNAME": "admin",
        "SERVICE_ADMIN_PASSWORD": secrets.token_hex(16),
        "SERVICE_SESSION_SECRET": secrets.token_hex(32),
        "SERVICE_DATABASE_PORT": str(database_port),
        "SERVICE_DATABASE_PASSWORD": secrets.token_hex(24),
        **(_bucket_elsewhere() if b2 else _store_here(host, store_port)),
    }
    _require_apart(Settings(folder, values).ports)
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    return _write_new(folder / ".env", _HEAD + lines)


def read(folder: Path) -> Settings:
    """The settings of the service in `folder`.

    Raises:
        StorageError: there is no `.env`, it cannot be read, or a line of it is no NAME=value.
    """
    path = folder / ".env"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StorageError(f"there is no {path}: run `backbench service init` first.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise StorageError(f"cannot read {path}: {reason}.") from error
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise StorageError(f"line {number} of {path} is no NAME=value.")
        values[name.strip()] = value.strip()
    return Settings(folder, values)


def _require_apart(ports: Mapping[str, Sequence[int]]) -> None:
    for (one, its), (other, others) in combinations(ports.items(), 2):
        if both := set(its).intersection(others):
            raise StorageError(
                f"port {min(both)} would be that of {one} and of {other}: choose others with "
                "--tracking-port, --store-port and --database-port (the store takes 5, and the 5 "
                "that are 10,000 above)."
            )


def _write_new(path: Path, text: str) -> Path:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise StorageError(
            f"{path} exists and is never overwritten: its passwords open the data. Delete it only "
            "together with the data."
        ) from None
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def _allowed_hosts(host: str) -> str:
    names = dict.fromkeys(["localhost", "127.0.0.1", host])
    return ",".join(entry for name in names for entry in (name, f"{name}:*"))


def _store_here(host: str, port: int) -> dict[str, str]:
    return {
        "SERVICE_STORE_URL": f"http://{host}:{port}",
        "SERVICE_STORE_PORT": str(port),
        "SERVICE_STORE_BUCKET": "mlflow",
        "SERVICE_STORE_REGION": "us-east-1",
        "SERVICE_STORE_ACCESS_KEY": secrets.token_hex(10),
        "SERVICE_STORE_SECRET_KEY": secrets.token_hex(20),
    }


def _bucket_elsewhere() -> dict[str, str]:
    url = _first("B2_ENDPOINT", *ENDPOINT_VARIABLES)
    if urlsplit(url).scheme not in ("http", "https"):
        raise StorageError("the bucket's endpoint has to begin with https:// (or http://).")
    return {
        "SERVICE_STORE_URL": url,
        "SERVICE_STORE_BUCKET": _first("B2_BUCKET", "S3_BUCKET"),
        "SERVICE_STORE_REGION": _first("B2_REGION", "AWS_DEFAULT_REGION"),
        "SERVICE_STORE_ACCESS_KEY": _first("B2_APPLICATION_KEY_ID", "AWS_ACCESS_KEY_ID"),
        "SERVICE_STORE_SECRET_KEY": _first("B2_APPLICATION_KEY", "AWS_SECRET_ACCESS_KEY"),
        # Compose reads the whole file and wants a value, though nothing listens there.
        "SERVICE_STORE_PORT": str(STORE_PORT),
    }


def _first(*names: str) -> str:
    for name in names:
        if value := os.environ.get(name):
            return value
    raise StorageError(f"the bucket needs {' or '.join(names)}: set it, then run init again.")
