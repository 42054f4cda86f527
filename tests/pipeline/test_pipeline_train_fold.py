"""Seeds are trained on the right device, and recorded whatever their heads went through."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbench.heads import HEADS
from backbench.pipeline import train_fold as training
from backbench.pipeline.question import Question
from backbench.pipeline.train_fold import train_fold
from backbench.runs import Tracker, tags
from small_task import small_task


def seeds_trained() -> list[str]:
    return sorted(run.tags[tags.SEED] for run in Tracker().find({tags.STAGE: "train_fold"}))


def test_a_head_that_trains_unit_by_unit_is_recorded_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained when the job is killed is not trained again."""
    asked, real = [], training.train_heads

    def train(table, problem, units, **named):
        asked.append([unit.seed for unit in units])
        if asked[1:2] == [[2] * 4]:
            raise KeyboardInterrupt
        return real(table, problem, units, **named)

    question = Question.ask(str(small_task(tmp_path)), overrides=["seeds=[3,2,1]"])
    monkeypatch.setattr(training, "HEADS", {"ridge": replace(HEADS["ridge"], apart=True)})
    monkeypatch.setattr(training, "train_heads", train)
    with pytest.raises(KeyboardInterrupt):
        train_fold(question, "pixels", "default")
    assert (asked, seeds_trained()) == ([[1] * 4, [2] * 4], ["1"])
    monkeypatch.setattr(training, "train_heads", real)
    train_fold(question, "pixels", "default")
    assert seeds_trained() == ["1", "2", "3"]
    assert [name for name, row in HEADS.items() if row.apart] == ["stress"]


def test_a_head_may_have_been_anywhere_on_its_way(tmp_path, monkeypatch) -> None:
    """What is not finite in a history is null, and the unit is recorded."""
    real = training.train_heads

    def train(*given, **named):
        results = real(*given, **named)
        for result in results:
            result.history["val_loss"] = [float("nan"), 0.5, float("inf")]
            result.chosen["val_loss"] = np.float32("nan")
        return results

    monkeypatch.setattr(training, "train_heads", train)
    train_fold(
        Question.ask(str(small_task(tmp_path)), overrides=["seeds=[1]"]), "pixels", "default"
    )
    (run,) = Tracker().find({tags.STAGE: "train_fold"})
    unit, *_ = json.loads(Tracker().download(run, "units.json").read_text())
    assert unit["history"]["val_loss"] == [None, 0.5, None]
    assert unit["chosen"]["val_loss"] is None


@pytest.mark.parametrize(("found", "given"), [("cuda:0", "cuda:0"), ("mps", "cpu"), ("cpu", "cpu")])
def test_heads_train_on_a_cuda_device_and_else_on_the_cpu(
    tmp_path, monkeypatch, found, given
) -> None:
    import torch

    asked = []
    real = training.train_heads

    def train(*args, device: str, **named):
        asked.append(device)
        return real(*args, device="cpu", **named)

    monkeypatch.setattr(training, "device", lambda: torch.device(found))
    monkeypatch.setattr(training, "train_heads", train)
    monkeypatch.setattr(training, "warm_up", lambda _, device: asked.append(device))
    train_fold(
        Question.ask(str(small_task(tmp_path)), overrides=["seeds=[1]"]), "pixels", "default"
    )
    assert asked == [given, given]
