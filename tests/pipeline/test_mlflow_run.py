"""The literal command: `mlflow run . -e train_fold -P backbone=clip -P seed=123`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backbench.cli import main
from backbench.runs import Run, Tracker, tags
from small_task import small_task
from tiny_hub import build_tiny_hub

ROOT = Path(__file__).parents[2]


def mlflow_run(
    *arguments: str, project: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`mlflow run` of the project in this environment, from the present folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["mlflow", "run", str(project), "--env-manager", "local", *arguments],
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


def copy_of_the_project(folder: Path) -> Path:
    """What `mlflow run` takes: it works in the project's folder, where somebody's board may be."""
    unused = shutil.ignore_patterns("__pycache__")
    for name in ("src", "entrypoints"):
        shutil.copytree(ROOT / name, folder / name, ignore=unused)
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_the_whole_chain_hangs_below_one_run(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    asked = ("-P", f"task={small_task(tmp_path)}", "-P", "backbones=pixels")
    done = mlflow_run(*asked, project=project)
    assert done.returncode == 0, done.stderr
    assert f"board     {project}/board/leaderboard.html" in done.stdout
    (main,) = Tracker().find({tags.STAGE: "main"})
    for stage, count in {"extract": 1, "train_fold": 2, "evaluate": 1, "leaderboard": 1}.items():
        found = Tracker().find({tags.STAGE: stage})
        assert [run.tags["mlflow.parentRunId"] for run in found] == [main.run_id] * count


def begun_run_after(monkeypatch: pytest.MonkeyPatch, *command: str) -> Run:
    """The run that `mlflow run` began, after a command that it started."""
    from mlflow import MlflowClient

    run_id = MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    with pytest.raises(SystemExit) as stop:
        main(list(command))
    assert not stop.value.code
    return Tracker().get(run_id)


def test_an_extraction_continues_the_begun_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is the run of these features; the second time it says which run holds them."""
    command = ("extract", "--task", str(small_task(tmp_path)), "--backbone", "pixels")
    first = begun_run_after(monkeypatch, *command)
    assert [run.run_id for run in Tracker().find({tags.STAGE: "extract"})] == [first.run_id]
    second = begun_run_after(monkeypatch, *command)
    assert (second.status, second.tags[tags.STAGE]) == ("FINISHED", "main")
    assert first.run_id in second.tags["mlflow.note.content"]


def test_an_extraction_on_the_way_leaves_the_begun_run_to_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = str(small_task(tmp_path))
    begun = begun_run_after(
        monkeypatch, "train-fold", "--task", task, "--backbone", "pixels", "--seed", "1"
    )
    assert (begun.status, begun.tags[tags.STAGE]) == ("FINISHED", "train_fold")
    assert len(Tracker().find({tags.STAGE: "extract"})) == 1


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
