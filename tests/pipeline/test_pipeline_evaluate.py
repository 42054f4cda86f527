"""What is undefined, oddly named or one-sided is recorded, told and read again."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from backbench.pipeline.entries import read_entries
from backbench.pipeline.evaluate import evaluate
from backbench.pipeline.question import Question
from backbench.pipeline.train_fold import train_fold
from backbench.runs import Run, Tracker, tags
from small_task import small_task

SPLIT = ("folds.scheme=given_split", "folds.validation=none", "seeds=[1]", "head.lambdas=1.0")


def changed(folder: Path, change) -> str:
    """The small task with another manifest."""
    path = small_task(folder)
    frame = pd.read_csv(folder / "samples.csv")
    change(frame).to_csv(folder / "samples.csv", index=False)
    return str(path)


def one_class_tested(frame: pd.DataFrame) -> pd.DataFrame:
    tested = frame.group.gt("g14") & frame.label.eq("n0")
    return frame.assign(split=np.where(tested, "test", "train"), group=frame.sample_id)


def one_group_tested(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(split=np.where(frame.group.eq("g00"), "test", "train"))


def note_of(run: Run) -> str:
    return MlflowClient().get_run(run.run_id).data.tags["mlflow.note.content"]


def trained(task: str, *overrides: str) -> Question:
    question = Question.ask(task, overrides=[*SPLIT, *overrides])
    train_fold(question, "pixels", "default")
    return question


def test_an_undefined_metric_is_null_in_the_summary_and_nan_when_read(tmp_path, capsys) -> None:
    question = trained(changed(tmp_path, one_class_tested), 'metrics.report=["auroc_ovr"]')
    run_id = evaluate(question, "pixels", "default")
    (run,) = Tracker().find({tags.STAGE: "evaluate"})
    written = json.loads(Tracker().download(run, "summary.json").read_text())
    undefined = next(one for one in written["estimates"] if one["metric"] == "auroc_ovr")
    assert (undefined["value"], undefined["per_seed"]) == (None, [None])
    (entry,) = read_entries(question.task)
    assert (entry.run_id, math.isnan(entry.estimates["auroc_ovr"].value)) == (run_id, True)
    assert np.isnan(entry.estimates["auroc_ovr"].per_seed).all()
    assert "nan" not in note_of(run)
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "primary"),
    [("one group", "accuracy"), ("odd class", "f1_Pinot (noir)")],
)
def test_a_summary_that_is_there_is_told_with_its_headline(tmp_path, task, primary, capsys) -> None:
    changes = {
        "one group": one_group_tested,
        "odd class": lambda frame: one_group_tested(frame).replace("n0", "Pinot (noir)"),
    }
    path = changed(tmp_path, changes[task])
    question = trained(path, f"metrics.primary={primary}")
    first = evaluate(question, "pixels", "default")
    assert evaluate(question, "pixels", "default") == first
    told = [line for line in capsys.readouterr().out.splitlines() if "evaluate" in line]
    headline = told[0].removeprefix("evaluate  pixels: ")
    assert headline.startswith(f"{primary} ")
    assert told[1:] == [f"evaluate  pixels: there already ({headline})"]


def test_names_in_the_note_are_no_markdown(tmp_path) -> None:
    path = changed(tmp_path, lambda f: one_group_tested(f).replace("n0", "a|b*<i>"))
    evaluate(trained(path, "metrics.primary=f1_a|b*<i>"), "pixels", "default")
    (run,) = Tracker().find({tags.STAGE: "evaluate"})
    assert r"| f1_a\|b\*&lt;i&gt; |" in note_of(run)
