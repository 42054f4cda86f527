"""Accounts without a name, as `docker run -u 12345` gives them."""

import os
import pwd

import pytest

from backbench.files.account import user_name
from backbench.runs import Tracker, recording


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> str:
    """An account that the password database does not know; returns its number."""
    free = next(
        uid for uid in range(12345, 1 << 16) if uid not in {e.pw_uid for e in pwd.getpwall()}
    )
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: free)
    return str(free)


def test_an_account_without_a_name_is_called_by_its_number(nameless: str) -> None:
    assert user_name() == nameless


def test_such_an_account_records_runs(nameless: str) -> None:
    with recording(experiment="digits", name="one") as run:
        pass
    assert Tracker().get(run.run_id).tags["mlflow.user"] == nameless


def test_an_account_with_a_name_is_called_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "mara")
    assert user_name() == "mara"
