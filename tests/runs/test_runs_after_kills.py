"""What kills and crashes taught: a database half-made, a run called by where it was."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from backbench.errors import TrackingError
from backbench.runs import Tracker, connection, recording
from backbench.runs.sync import sync


def test_a_kill_while_the_database_is_made_leaves_none_that_is_half_made(tmp_path: Path):
    """MLflow makes its tables in seconds of single steps, and cannot go on from one in between."""
    (tmp_path / "mlflow.db").unlink(missing_ok=True)
    code = (
        "import os, pathlib\n"
        "from backbench.runs import connection\n"
        "pathlib.Path.replace = lambda *_: os._exit(9)\n"
        "connection.connect()\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert killed.returncode == 9, killed.stderr
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / ".mlflow.db.making").write_bytes(b"half of it")
    assert [e.name for e in connection.connect().search_experiments()] == ["Default"]
    assert not (tmp_path / ".mlflow.db.making").exists()


def test_a_run_is_found_by_its_spool_id_after_it_was_synced(offline, monkeypatch):
    """A summary made offline names its training runs so; the board reads them after the sync."""
    with recording(experiment="digits", name="train") as run:
        run.artifact("oof.txt").write_text("oof")
    assert Tracker().get(run.run_id).source == "spool"
    monkeypatch.delenv("BACKBENCH_OFFLINE")
    sync(console=Console(quiet=True))
    found = Tracker().get(run.run_id)
    assert (found.source, found.identity) == ("server", run.identity)
    assert Tracker().download(found, "oof.txt").read_text() == "oof"
    with pytest.raises(TrackingError, match="neither in the spool nor on the server"):
        Tracker().get("spool:none")
