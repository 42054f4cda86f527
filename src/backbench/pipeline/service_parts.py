"""One part of the service as processes: started, watched, ended, and never left behind."""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from backbench.errors import StorageError
from backbench.files import atomic

START_SECONDS = 180.0
STOP_SECONDS = 15.0  # weed may take 27 s over SIGTERM; what it acknowledged survives a kill
FREE_SECONDS = 60.0
LEAST_SECONDS = 20.0  # who lived shorter would only end again; MLflow takes 7 s to miss its port
_PR_SET_PDEATHSIG = 1


@dataclass
class Part:
    """One part of the service, running."""

    name: str
    start: "Callable[[], subprocess.Popen[Any]]"
    log: Path
    process: "subprocess.Popen[Any]" = field(init=False)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def check(self) -> None:
        """Raise StorageError if it ended; the log says why."""
        if (status := self.process.poll()) is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it wrote nothing"
            raise StorageError(
                f"the {self.name} ended with status {status}: {last[:300]} (log: {self.log})."
            )

    def keep_up(self, say: Callable[[str], None]) -> None:
        """Start it again where it ended, as containers are.

        Raises:
            StorageError: it had lived for moments only.
        """
        try:
            self.check()
        except StorageError as ended:
            if time.monotonic() - self.started < LEAST_SECONDS:
                raise
            say(f"{ended} Starting it again.")
            _kill_group(self.process)
            self._begin()

    def _begin(self) -> None:
        self.process, self.started = self.start(), time.monotonic()


@contextmanager
def part(
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    data: Path,
    *,
    ended_by: signal.Signals = signal.SIGTERM,
    **options: Any,  # noqa: ANN401 - Popen's
) -> Iterator[Part]:
    """Run one part in its own session: Ctrl-C reaches only us, and we end the parts in order.

    On Linux it gets the same signal when this process dies without ending it, by SIGKILL too.
    """
    log = private(data / "logs") / f"{name.split(maxsplit=1)[0]}.log"

    def start() -> "subprocess.Popen[Any]":
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own scripts
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, close_fds=False,  # it inherits the lock of `owned`, no more
                preexec_fn=_dying_with_us(ended_by), **({"cwd": data} | options),  # noqa: PLW1509
            )  # fmt: skip

    running = Part(name, start, log)
    try:
        yield running
    finally:
        _end(running.process, ended_by)


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Lock the folder `data`. Parts inherit the lock: it is free when the last has ended.

    Raises:
        StorageError: the folder cannot be written, or another service uses it and goes on.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise atomic.unwritable(data, error) from error
    with lock as file:
        os.set_inheritable(file.fileno(), True)
        deadline = time.monotonic() + FREE_SECONDS  # parts of a killed service take their time
        while not _locked(file):
            if time.monotonic() > deadline:
                raise StorageError(
                    f"another service uses {data}: end it first, or name another folder: --data."
                )
            time.sleep(0.2)
        yield


def private(folder: Path) -> Path:
    """Make the folder where there is none; only its owner can enter it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def require_free(ports: Mapping[str, Sequence[int]]) -> None:
    """Find out before a part starts that something else listens on one of its ports.

    Args:
        ports: by the variable of `.env` they follow from.

    Raises:
        StorageError: nothing can listen there.
    """
    for variable, port in ((name, port) for name, each in ports.items() for port in each):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise StorageError(
                f"port {port} cannot be used ({os.strerror(error.errno or 0)}): end what listens "
                f"there, or change {variable} in .env and the addresses with that port."
            ) from error


def wait_ready(
    command: Sequence[str | Path], environment: Mapping[str, str], parts: Sequence[Part]
) -> None:
    """Wait until `command` succeeds.

    Raises:
        StorageError: one of the parts ended, or the last of them took too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while _fails(command, environment):
        _check(parts)
        if time.monotonic() > deadline:
            raise StorageError(f"the {parts[-1].name} did not come up: see {parts[-1].log}.")
        time.sleep(0.2)
    _check(parts)  # something else may have answered


def _check(parts: Sequence[Part]) -> None:
    for each in parts:
        each.check()


def _dying_with_us(number: signal.Signals) -> Any:  # noqa: ANN401 - what Popen runs in the child
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, number)


def _end(process: "subprocess.Popen[Any]", first: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(first)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _kill_group(process)
    process.wait()


def _kill_group(process: "subprocess.Popen[Any]") -> None:
    """Reach whatever a part left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fails(command: Sequence[str | Path], environment: Mapping[str, str]) -> bool:
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
    return done.returncode != 0
