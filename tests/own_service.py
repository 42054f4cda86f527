"""A whole service of one's own, run by the scripts of the containers: `running_service()`."""

import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import servers
from backbench.pipeline.service_settings import Settings, init, read

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Running:
    """A service that is up."""

    settings: Settings
    data: Path
    pid: int

    @property
    def processes(self) -> list[int]:
        """The process of `up` and everything it started."""
        found = [self.pid]
        for pid in found:
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, path.read_text().split())
        return found


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


@contextmanager
def running_service() -> Iterator[Running]:
    """PostgreSQL, SeaweedFS and MLflow, by `up`, ended by Ctrl-C; it has to end cleanly."""
    servers.require_weed()
    servers.require_postgres()
    folder = fresh_folder()
    settings = read(folder)
    program = (
        "from pathlib import Path; from backbench.pipeline import service, service_parts; "
        f"service_parts.STOP_SECONDS = 3; service.up(Path({str(folder)!r}))"
    )
    said = folder / "said.log"
    try:
        command = [sys.executable, "-u", "-c", program]
        with servers.running(command, None, said) as process:
            servers.wait_until(lambda: "Ctrl-C ends it" in said.read_text(), process, said, 170)
            yield Running(settings, folder / "service-data", process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, said.read_text()
        ports = ("TRACKING_PORT", "STORE_PORT", "DATABASE_PORT")
        open_ports = [name for name in ports if _is_open(int(settings[f"SERVICE_{name}"]))]
        assert open_ports == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _five_free_ports() -> int:
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


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
