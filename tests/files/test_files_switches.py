"""Switches say on or off, or are told to."""

import os

import pytest

from backbench.errors import TaskError
from backbench.files.switches import OFFLINE, environment, is_on, seconds


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


@pytest.mark.parametrize(("value", "told"), [("2.5", 2.5), ("", 10.0)])
def test_a_duration_is_what_is_given_or_its_default(
    monkeypatch: pytest.MonkeyPatch, value: str, told: float
) -> None:
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", value)
    assert seconds("BACKBENCH_TRACKING_TIMEOUT", 10) == told


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-5", "0"])
def test_a_duration_that_nothing_can_wait_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BACKBENCH_S3_READ_SECONDS", value)
    with pytest.raises(TaskError, match=f"BACKBENCH_S3_READ_SECONDS is '{value}', but has to be"):
        seconds("BACKBENCH_S3_READ_SECONDS", 60)
