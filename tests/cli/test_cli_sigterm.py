"""SIGTERM, which SLURM sends to every process of a job before it ends or requeues it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backbench.features import exchange
from backbench.runs import Tracker, tags
from backbench.runs.spool import waiting
from small_task import small_task

SLOW_EXTRACT = """
import sys, time
from backbench.cli import main
from backbench.features import writing

writing.SHARD_ROWS = 8
put = writing.Writer.put
writing.Writer.put = lambda *given: (time.sleep(0.1), put(*given))
main(["extract", "--backbone", "pixels", "--batch-size", "4", "--workers", sys.argv[2],
      "--task", sys.argv[1]])
"""


def extract(task: Path, *, workers: int, stopped: bool) -> tuple[int, list[str]]:
    """Status and lines of an extraction; SIGTERM to all its processes after two shards."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_EXTRACT, str(task), str(workers)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    shards = Path(os.environ["BACKBENCH_HOME"]) / "features" / "small"
    while stopped and len(list(shards.glob("*.parts/[!.]*.h5"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    if stopped:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)  # an impatient one does not cut the ending short
    lines = process.communicate(timeout=60)[0].splitlines()
    return process.returncode, [line for line in lines if line]


def begin_run(monkeypatch: pytest.MonkeyPatch) -> str:
    """What `mlflow run` does before it starts an entry point."""
    from mlflow import MlflowClient

    run = MlflowClient().create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return str(run.info.run_id)


def files_verified() -> int:
    """How many feature files and shards there are, each of them whole."""
    home = Path(os.environ["BACKBENCH_HOME"])
    found = list(home.glob("features/small/[!.]*.h5*/[!.]*.h5"))
    assert [exchange.verify(path).problems for path in found] == [()] * len(found)
    return len(found)


def test_sigterm_is_a_clean_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Finished rows are kept and the begun run ends as KILLED, on the server, with the reason."""
    run_id = begin_run(monkeypatch)
    status, lines = extract(small_task(tmp_path), workers=0, stopped=True)
    assert (status, lines[-1]) == (
        143,
        "error: ended by SIGTERM; run the same command again to go on from here.",
    )
    assert not any("Traceback" in line for line in lines)
    assert files_verified() >= 2
    run = Tracker().get(run_id)
    assert (run.status, run.tags[tags.REASON]) == ("KILLED", "Terminated: SIGTERM")
    assert list(Path(os.environ["BACKBENCH_HOME"], "spool").glob("[!.]*")) == []
    monkeypatch.delenv("MLFLOW_RUN_ID")


def test_decoding_processes_that_get_it_too_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a node without a server; the same command then does the rest only."""
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    task = small_task(tmp_path)
    status, lines = extract(task, workers=2, stopped=True)
    assert status == 143, lines
    assert files_verified() >= 2
    assert waiting() == []
    status, lines = extract(task, workers=2, stopped=False)
    assert status == 0, lines
    kept = re.search(r"60 x 1024 features \((\d+) computed, (\d+) there already\)", lines[-1])
    assert kept, lines
    assert int(kept[2]) >= 4 + 8  # the first batch is a shard at once
