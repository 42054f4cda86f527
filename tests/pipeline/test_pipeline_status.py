"""status on a machine without SLURM: what is there counts, not what a task says of itself."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.errors import SchedulerError, StorageError
from backbench.pipeline import submit_folder
from backbench.pipeline.evaluate import evaluate
from backbench.pipeline.leaderboard import leaderboard
from backbench.pipeline.question import Question
from backbench.pipeline.status import status
from backbench.pipeline.submit_folder import Asked, Plan, Submission
from backbench.pipeline.submit_local import run_here
from backbench.pipeline.submit_pack import Command, Stage, Task
from backbench.pipeline.submit_plan import plan_stages
from backbench.pipeline.submit_site import Site
from backbench.pipeline.submit_survey import survey
from backbench.pipeline.train_fold import train_fold
from small_task import small_task


@pytest.fixture
def question() -> Question:
    small_task(Path.cwd())
    return Question.ask("small.toml")


def submitted(question: Question, line: str) -> Submission:
    """What `submit --local` plans, with another line of shell in place of every command."""

    def instead(command: Command) -> Command:
        return replace(command, line=line)

    stages = tuple(
        Stage(s.name, tuple(Task(tuple(tuple(map(instead, p)) for p in t.phases)) for t in s.tasks))
        for s in plan_stages(survey(question, ["pixels"]), question.task.seeds)
    )
    asked = Asked.of(question, ["pixels"], question.task.seeds)
    plan = Plan(
        asked, "local", ("--local",), offline=False, made=submit_folder.now(), stages=stages
    )
    return submit_folder.write(plan, Site())


def test_a_failure_is_told_with_its_log_and_the_command_that_goes_on(
    question: Question, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    made, folder = submitted(question, "sh -c 'echo error: no luck; exit 3'"), Path.cwd()
    run_here(made, 1)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert not status("small")
    told = capsys.readouterr().out
    assert "failed    extract 0: exit status 3, on " in told
    assert f"{made.folder}/logs/extract-0.log: error: no luck" in told
    assert "never ran train 0" in told
    assert f"next      cd {folder}\n" in told
    assert "next      backbench submit small.toml --backbones pixels --head ridge --local\n" in told


def test_a_task_that_ends_well_and_brings_nothing_has_failed(
    question: Question, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(submitted(question, "true"), 1)
    capsys.readouterr()
    assert not status()
    told = capsys.readouterr().out
    assert told.count("has ended well, but what it should have brought is not") == 4
    assert "4 failed" in told


def test_everything_is_there_once_the_tracker_holds_it_whoever_did_it(
    question: Question, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted(question, "true")
    train_fold(question, "pixels", "default", seed="1")
    capsys.readouterr()
    assert not status()
    told = capsys.readouterr().out
    assert "4 done" in told
    assert "4 missing" in told
    train_fold(question, "pixels", "default")
    evaluate(question, "pixels", "default")
    leaderboard("small.toml")
    assert status()


def test_a_task_that_was_never_submitted_is_named(question: Question) -> None:
    submitted(question, "true")
    with pytest.raises(SchedulerError, match=r"'smal'.*Did you mean 'small'"):
        status("smal")


def test_a_folder_that_is_gone_is_named(question: Question, tmp_path: Path, monkeypatch) -> None:
    submitted(question, "true")
    folder = Path.cwd()
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="is gone"):
        status()
