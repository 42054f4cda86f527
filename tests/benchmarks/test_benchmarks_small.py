"""The benchmarks that `benchmarks/run.py --small` does not run work too, at their smallest."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import servers

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ELSEWHERE = {"run", "torture"}
"""The first is run beside the tests, the second by `test_torture.py`."""


def ran(name, *arguments):
    """Run a benchmark to its end."""
    command = [sys.executable, BENCHMARKS / f"{name}.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def figures(name, many, folder):
    ran(name, many, "--json", folder / "figures.json")
    return json.loads((folder / "figures.json").read_text())


@pytest.mark.slow
def test_objects_come_through_faults_as_they_were(tmp_path):
    servers.require_weed()
    found = figures("bucket_faults", 4, tmp_path)
    assert (found["bucket_objects"], found["bucket_objects_different"]) == (4, 0)
    assert found["bucket_requests"] > found["bucket_requests_fine"]


@pytest.mark.slow
def test_a_backup_is_restored_as_it_was(tmp_path):
    servers.require_weed()
    servers.require_postgres()
    found = figures("service_backup", 2, tmp_path)
    assert found["backup_is_equal"]
    assert found["backup_megabytes"] > 2 * 0.24  # of artifacts alone


@pytest.mark.slow
def test_a_champion_answers_over_http(tmp_path):
    found = figures("serving", 2, tmp_path)
    assert found["serving_median_ms"] > found["direct_median_ms"] > 0


@pytest.mark.slow
def test_runs_are_synced_beside_the_plain_client(tmp_path, monkeypatch):
    """To a server of one worker and no jobs, which is what MLflow makes of these variables."""
    monkeypatch.setenv("MLFLOW_WORKERS", "1")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    found = figures("spool_sync", 2, tmp_path)
    assert found["sync_runs"] == found["sync_runs_there"] == 2
    assert found["sync_server_processor_ms"] > 0


@pytest.mark.slow
def test_a_small_calibration_has_every_case_of_the_committed_one(tmp_path):
    ran("calibrate", "--small", "--out", tmp_path)
    for name in ("calibration", "calibration_limits"):
        made, committed = (
            json.loads((folder / f"{name}.json").read_text()) for folder in (tmp_path, BENCHMARKS)
        )
        assert {case: one.keys() for case, one in made.items()} == {
            case: one.keys() for case, one in committed.items()
        }
    head, committed = (
        (folder / "calibration.md").read_text().split("\n##")[0]
        for folder in (tmp_path, BENCHMARKS)
    )
    assert head == committed


def test_a_small_calibration_never_replaces_the_committed_one():
    command = [sys.executable, BENCHMARKS / "calibrate.py", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "say --out" in done.stderr


def test_no_benchmark_is_left_out():
    """What no other benchmark imports is a command, and each command is run small somewhere."""
    trees = {path.stem: ast.parse(path.read_text()) for path in BENCHMARKS.glob("*.py")}
    imported = {
        name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else names(node))
    }
    own = ast.walk(ast.parse(Path(__file__).read_text()))
    here = {node.value for node in own if isinstance(node, ast.Constant)}
    assert sorted(trees.keys() - imported - ELSEWHERE - here) == []


def names(node):
    return [one.name for one in node.names]
