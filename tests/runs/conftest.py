"""A home and a SQLite store a test, and one real MLflow server for all of them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from backbench.runs import connection
from empty_store import copy_database


@pytest.fixture(autouse=True)
def _own_place(tmp_path, monkeypatch, own_home, empty_database):
    """Every test has its own home, working folder and SQLite store."""
    monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(connection, "silence", connection.Silence())
    copy_database(empty_database, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "home" / "spool"


class Server:
    """A real tracking server in its own process group, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        quiet.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=quiet, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError((self.folder / "log").read_text())


@pytest.fixture(scope="session")
def one_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(one_server, monkeypatch):
    """The server, up, and named by MLFLOW_TRACKING_URI."""
    if one_server.process.poll() is not None:
        one_server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", one_server.uri)
    return one_server
