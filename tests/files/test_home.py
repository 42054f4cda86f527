"""The folder of what can be made again."""

from pathlib import Path

import pytest

from backbench.files.home import home, is_ours


def test_a_file_is_ours_also_where_the_folder_is_reached_by_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / ".cache").symlink_to(tmp_path / "disk")
    monkeypatch.delenv("BACKBENCH_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert is_ours(home() / "features" / "x.h5")
    assert not is_ours(tmp_path / "x.h5")
