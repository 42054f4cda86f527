"""Folders that other processes write to."""

from pathlib import Path

from backbench.files.listing import with_stats


def test_what_is_gone_since_it_was_listed_is_left_out(tmp_path: Path) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.write_bytes(b"four")
    assert [(path, stat.st_size) for path, stat in with_stats([gone, here])] == [(here, 4)]
