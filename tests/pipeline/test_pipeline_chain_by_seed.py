"""A chain of a part of the seeds trains these of every backbone; the board waits for the others."""

from pathlib import Path

import pytest

from backbench.pipeline.chain import run_chain
from backbench.pipeline.question import Question
from backbench.runs import Tracker, tags
from small_task import small_task

BACKBONES = ("pixels", "pixels=gray-8")


def test_a_chain_of_one_seed_trains_all_backbones_and_says_what_the_board_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = str(small_task(tmp_path))
    run_chain(Question.ask(task), BACKBONES, seed="1")
    trained = Tracker().find({tags.STAGE: "train_fold"})
    assert {run.tags[tags.SEED] for run in trained} == {"1"}
    assert len(trained) == len(BACKBONES)
    said = " ".join(capsys.readouterr().out.split())
    assert "not made: units of seed 2 are missing" in said
    assert f"backbench run --task {task} --backbones {','.join(BACKBONES)} --head ridge" in said
    assert not Path("board/leaderboard.html").exists()
