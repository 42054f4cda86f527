"""A full disk, under the spool and under the server: one line, and nothing that is lost.

A limit on the size of files stands for it: a write fails in the middle, as on a disk without room.
"""

import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backbench.errors import StorageError
from backbench.runs import Tracker, connection, recording, tags
from backbench.runs.serving import Champion
from backbench.runs.spool import waiting
from backbench.runs.sync import sync

QUIET = Console(quiet=True)


@contextmanager
def full_disk(*processes: int) -> Iterator[None]:
    """These processes (by default: this one) cannot write files beyond 50 kB."""
    try:
        limit(50_000, processes)
        yield
    finally:
        limit(resource.RLIM_INFINITY, processes)


def limit(size: int, processes: tuple[int, ...]) -> None:
    for pid in processes or (0,):
        with suppress(ProcessLookupError):  # a server's helpers come and go
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def record(console: Console | None = None) -> str:
    about = {tags.STAGE: "train_fold"}
    with recording(experiment="digits", name="full", tags=about, console=console) as run:
        for fold in range(5):
            run.log_metric("accuracy", fold / 5, step=fold)
        run.artifact("heads.bin").write_bytes(os.urandom(200_000))
    return run.identity


def test_a_spool_without_room_is_one_line_and_the_run_is_no_finished_one(offline, spool) -> None:
    with full_disk(), pytest.raises(StorageError, match=r"the disk is full .*BACKBENCH_SPOOL"):
        record()
    assert Tracker().find({tags.STAGE: "train_fold"}) == []
    record()
    (whole,) = Tracker().find({tags.STAGE: "train_fold"})
    assert Tracker().download(whole, "heads.bin").stat().st_size == 200_000


def test_a_champion_without_room_is_one_line_and_nothing_half_written(tmp_path) -> None:
    about = {"task": "digits", "backbone": "pixels", "checkpoint": "default", "head": "linear"}
    hashes = {"identity_key": "k", "weights": "w"}
    champion = Champion(**about, **hashes, task_version=1, variant="", classes=("a", "b"))
    heads = {(1, 0): {"weight": np.random.default_rng(0).normal(size=(100, 500))}}
    with full_disk(), pytest.raises(StorageError, match=r"cannot write .*heads\.safetensors"):
        champion.write(tmp_path / "champion", heads)
    assert list((tmp_path / "champion").iterdir()) == []


def record_long(steps: int) -> None:
    with recording(experiment="digits", name="long") as run:
        for step in range(steps):
            run.log_metric("accuracy", 1.0, step=step)


def test_a_spool_without_room_for_the_record_itself_has_nothing_half_written(
    offline, spool
) -> None:
    with full_disk(), pytest.raises(StorageError, match=r"cannot write .*record.json"):
        record_long(2000)
    assert waiting(spool) == []
    assert list(spool.glob(".tmp-*")) == []


@pytest.mark.slow
def test_a_server_without_room_loses_nothing(server, spool, monkeypatch) -> None:
    """It answers with an error; the run waits in the spool until there is room."""
    told = Console(record=True, file=io.StringIO())
    with full_disk(*descendants(server.process.pid)):
        identity = record(told)
    (line,) = told.export_text().strip().splitlines()
    assert "The run waits in the spool; `backbench sync` sends it." in line, line
    assert len(waiting(spool)) == 1
    monkeypatch.setattr(connection, "silence", connection.Silence())
    assert list(sync(console=QUIET).sent) == [identity]
    found = [run for run in Tracker().find({tags.STAGE: "train_fold"}) if run.name == "full"]
    assert [run.identity for run in found] == [identity]
    assert Tracker().download(found[0], "heads.bin").stat().st_size == 200_000
