"""A file size limit stands for the full disk: what fits is written, then the system says no."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backbench.files.room import reserve, write_at


@contextmanager
def room_for(size: int) -> Iterator[None]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def test_all_bytes_arrive_where_they_belong(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        reserve(file, 10)
        write_at(file.fileno(), b"abc", 4)
        assert file.read() == b"\0\0\0\0abc\0\0\0"


def test_a_write_cut_short_is_an_error_and_leaves_no_hole_unnoticed(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        file.truncate(5000)
        with room_for(5000), pytest.raises(OSError, match="too large"):
            write_at(file.fileno(), b"x" * 100, 4950)


def test_room_is_really_taken(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        reserve(file, 1 << 20)
        status = (tmp_path / "f").stat()
        assert status.st_size == 1 << 20
        assert status.st_blocks * 512 >= 1 << 20


def test_no_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with (
        (tmp_path / "f").open("w+b") as file,
        room_for(5000),
        pytest.raises(OSError, match="too large"),
    ):
        reserve(file, 6000)


def test_nothing_needs_no_room(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        reserve(file, 0)
    assert (tmp_path / "f").stat().st_size == 0
