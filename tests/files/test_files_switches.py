"""Switches say on or off, or are told to."""

import os

import pytest

from backbench.errors import TaskError
from backbench.files.switches import OFFLINE, environment, is_on


@pytest.mark.parametrize(
    ("value", "on"), [("1", True), (" Yes ", True), ("", False), ("0", False), ("False", False)]
)
def test_a_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str, *, on: bool) -> None:
    monkeypatch.setenv(OFFLINE, value)
    assert is_on(OFFLINE) is on


def test_a_switch_that_says_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE, "maybe")
    with pytest.raises(TaskError, match="unknown value of BACKBENCH_OFFLINE 'maybe'"):
        is_on(OFFLINE)


def test_an_environment_lasts_as_long_as_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("BACKBENCH_A", "BACKBENCH_B", "BACKBENCH_C")
    for name in names[:2]:
        monkeypatch.setenv(name, "before")
    within = dict(zip(names, ("within", None, "within"), strict=True))
    with environment(within):
        assert [os.environ.get(name) for name in names] == ["within", None, "within"]
    assert [os.environ.get(name) for name in names] == ["before", "before", None]
