"""Seeds and folds as people write them."""

import shlex

import pytest

from backbench.errors import TaskError
from backbench.pipeline.units import parse_seeds


def test_another_seed_is_refused_with_an_option_that_can_be_pasted() -> None:
    with pytest.raises(TaskError) as error:
        parse_seeds("7", (42, 123))
    pasted = str(error.value).partition("every backbone with ")[2].removesuffix(".")
    assert shlex.split(pasted) == ["--set", "seeds=[42, 123, 7]"]


def test_below_mlflow_run_the_option_is_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(TaskError, match=r"-P set='seeds=\[42, 7\]'\.$"):
        parse_seeds("7", (42,))
