"""The literal command: `mlflow run . -e train_fold -P backbone=clip -P seed=123`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.runs import Tracker, tags
from small_task import small_task
from tiny_hub import build_tiny_hub

ROOT = Path(__file__).parents[2]


def mlflow_run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`mlflow run` of the project in this environment, from the present folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["mlflow", "run", str(ROOT), "--env-manager", "local", *arguments],
        env=os.environ | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_literal_command_trains_clip_on_digits(tmp_path: Path) -> None:
    build_tiny_hub(tmp_path)
    done = mlflow_run(
        *("-e", "train_fold", "-P", "backbone=clip", "-P", "seed=123"), HF_HOME=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    (run,) = Tracker().find({tags.STAGE: "train_fold"})
    assert run.tags["mlflow.project.entryPoint"] == "train_fold"
    assert (run.tags[tags.BACKBONE], run.tags[tags.SEED], run.tags[tags.FOLD]) == (
        "clip",
        "123",
        "0-9",
    )
    assert run.params["seed"] == "123"
    assert run.params["task.head.kind"] == '"linear"'
    (extract,) = Tracker().find({tags.STAGE: "extract"})
    assert extract.tags[tags.FEATURES] == run.tags[tags.FEATURES]


def test_the_whole_chain_hangs_below_one_run(tmp_path: Path) -> None:
    done = mlflow_run("-P", f"task={small_task(tmp_path)}", "-P", "backbones=pixels")
    assert done.returncode == 0, done.stderr
    assert f"board     {ROOT}/board/leaderboard.html" in done.stdout
    (main,) = Tracker().find({tags.STAGE: "main"})
    for stage, count in {"extract": 1, "train_fold": 2, "evaluate": 1, "leaderboard": 1}.items():
        found = Tracker().find({tags.STAGE: stage})
        assert [run.tags["mlflow.parentRunId"] for run in found] == [main.run_id] * count


def test_a_mistake_ends_with_its_one_line(tmp_path: Path) -> None:
    done = mlflow_run("-e", "train_fold", "-P", "backbone=clipp")
    assert done.returncode != 0
    assert "error: unknown backbone 'clipp'. Did you mean 'clip'?" in done.stderr
    assert "Traceback" not in done.stderr.split("error: unknown")[0]


@pytest.mark.parametrize("name", ["extract", "evaluate", "leaderboard"])
def test_entry_points_explain_themselves(name: str) -> None:
    script = ROOT / "entrypoints" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True
    )
    assert "--task" in done.stdout
