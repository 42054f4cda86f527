"""MLflow's own SQLite file is there whole or not at all."""

import subprocess
import sys
from pathlib import Path

from backbench.runs import connection


def test_a_kill_while_the_database_is_made_leaves_none_that_is_half_made(tmp_path: Path):
    """MLflow makes its tables in seconds of single steps, and cannot go on from one in between."""
    (tmp_path / "mlflow.db").unlink()
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
