"""One real service for the tests of this folder, run by the scripts of the containers."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import servers

from backbench.pipeline import service_stack
from backbench.pipeline.service_settings import Settings, init, read

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Running:
    """A service that is up."""

    settings: Settings
    data: Path
    parts: list[service_stack.Part]


def fresh_folder() -> Path:
    """A folder as a user has it after `backbench service init`; PostgreSQL's user can enter it."""
    folder = Path(tempfile.mkdtemp(prefix="backbench-service-"))
    folder.chmod(0o755)
    (folder / "service").symlink_to(REPOSITORY / "service")
    path = init(
        folder,
        tracking_port=servers.free_port(),
        store_port=_five_free_ports(),
        database_port=servers.free_port(),
    )
    path.write_text(path.read_text().replace("_WORKERS=2", "_WORKERS=1"))
    return folder


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """PostgreSQL, SeaweedFS and MLflow."""
    servers.require_weed()
    servers.require_postgres()
    folder = fresh_folder()
    settings = read(folder)
    try:
        with service_stack.stack(settings, folder / "data") as parts:
            yield Running(settings, folder / "data", parts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def client_environment(service: Running, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """MLflow's usual variables, as the administrator has them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", service.settings.tracking_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", service.settings["SERVICE_ADMIN_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", service.settings["SERVICE_ADMIN_PASSWORD"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    return service.settings


def _five_free_ports() -> int:
    import socket
    from contextlib import ExitStack

    while True:
        first = servers.free_port(10_000)
        try:
            with ExitStack() as stack:
                for port in range(first, first + 5):
                    for number in (port, port + 10_000):
                        stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
        except OSError:
            continue
        return first
