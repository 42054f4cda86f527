"""Which code is running."""

import subprocess
from pathlib import Path

import pytest

from backbench.files import code_state


def test_a_clone_without_a_commit_has_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "code.py"
    source.touch()
    for command in (["init", "-q"], ["add", source.name]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(code_state, "__file__", str(source))
    assert code_state.git_state.__wrapped__() is None
