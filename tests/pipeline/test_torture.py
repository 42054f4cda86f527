"""Killed at random moments, nothing finished is lost, corrupted or computed again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[2] / "benchmarks" / "torture.py"


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """Five commands, a kill each; `make torture` does 200."""
    target = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, TORTURE, "--kills", "5", "--each", "1", "--json", target],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(target.read_text())
    assert found["problems"] == []
    assert found["kills"] == 5
    assert len(found["by_command"]) >= 4
