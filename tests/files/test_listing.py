"""Folders that other processes write to, and that link to others."""

from pathlib import Path

import pytest

from backbench.errors import StorageError
from backbench.files.listing import files_below, with_stats


def test_what_is_gone_since_it_was_listed_is_left_out(tmp_path: Path) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.write_bytes(b"four")
    assert [(path, stat.st_size) for path, stat in with_stats([gone, here])] == [(here, 4)]


def test_links_to_folders_are_followed_and_those_that_lead_back_are_not(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere" / "deep"
    for folder in (top / "a", elsewhere):
        folder.mkdir(parents=True)
        (folder / "1.png").touch()
    (top / "b").symlink_to(elsewhere.parent)
    (top / "a" / "up").symlink_to(top)
    (top / "a" / "self").symlink_to(top / "a")
    (elsewhere / "over").symlink_to(tmp_path)
    assert files_below(top) == [top / "a" / "1.png", top / "b" / "deep" / "1.png"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot list '.*gone'"):
        files_below(tmp_path / "gone")


def test_folders_that_link_to_each_other_are_listed_once_from_each_side(tmp_path: Path) -> None:
    for name, other in ("ab", "ba"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "l").symlink_to(Path("..", other))
    (tmp_path / "a" / "1.png").touch()
    assert files_below(tmp_path) == [tmp_path / "a" / "1.png", tmp_path / "b" / "l" / "1.png"]
