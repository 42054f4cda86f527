"""Written to a temporary name, then renamed: never half a file."""

import os
from pathlib import Path

import pytest

from backbench.errors import StorageError
from backbench.files import atomic


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = atomic.write_text(tmp_path / "f", "old")
    with pytest.raises(RuntimeError):
        stop_half_way(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_success_replaces_and_makes_folders(tmp_path: Path) -> None:
    path = atomic.write_text(tmp_path / "a" / "b" / "f", "one")
    atomic.write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["f"]


def test_a_disk_error_is_one_line_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .* run again") as error:
        atomic.write_text(tmp_path / "file" / "below", "x")
    assert "\n" not in str(error.value)


def test_nan_never_gets_into_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "f.json", {"x": float("nan")})
    assert not (tmp_path / "f.json").exists()


def stop_half_way(path: Path) -> None:
    with atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


@pytest.mark.parametrize("at_home", [True, False])
def test_the_cure_fits_what_was_written(own_home: Path, tmp_path: Path, at_home: bool) -> None:
    folder = own_home if at_home else tmp_path
    (folder / "file").write_text("")
    for write in (atomic.check_writable, lambda path: atomic.write_text(path, "x")):
        with pytest.raises(StorageError, match="cannot write") as error:
            write(folder / "file" / "below")
        assert ("BACKBENCH_HOME" in str(error.value)) == at_home


def test_what_can_be_written_passes_and_nothing_stays(tmp_path: Path) -> None:
    atomic.check_writable(tmp_path / "new" / "deep" / "f")
    atomic.check_folder(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="directory"):
        atomic.check_writable(tmp_path)


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dead"):
        with pytest.raises(StorageError, match=f"cannot write {tmp_path / name / below}: N"):
            atomic.check_folder(tmp_path / name / below)


@pytest.mark.parametrize("flushed", [True, False])
def test_only_what_can_be_made_again_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: bool
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    atomic.write_bytes(tmp_path / "kept", b"content", flushed=flushed)
    assert (tmp_path / "kept").read_bytes() == b"content"
    assert bool(calls) == flushed
