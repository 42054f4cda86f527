"""Switches say on or off, or are told to."""

import pytest

from backbench.errors import TaskError
from backbench.files.switches import OFFLINE, is_on


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
