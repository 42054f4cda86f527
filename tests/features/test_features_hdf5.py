"""HDF5 files appear whole or not at all, and say what is wrong with them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backbench.errors import FeatureError
from backbench.features import hdf5


def test_a_nested_file_gives_back_its_rows_by_id(tmp_path: Path) -> None:
    rows = {f"plant{i}/{day}": np.arange(3.0) + i for i in range(3) for day in ("a", "b")}
    hdf5.write_nested(tmp_path / "x.h5", rows.items())
    found = dict(hdf5.read_nested(tmp_path / "x.h5"))
    assert found.keys() == rows.keys()
    for name, row in found.items():
        assert row.dtype == np.float32
        assert np.array_equal(row, rows[name])


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    hdf5.write_nested(path, [("old", np.zeros(2))])

    def rows() -> Iterator[tuple[str, np.ndarray]]:
        yield "new", np.ones(2)
        raise RuntimeError("no further rows")

    with pytest.raises(RuntimeError, match="no further rows"):
        hdf5.write_nested(path, rows())
    assert [name for name, _ in hdf5.read_nested(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_is_told_from_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hdf5.read_nested(tmp_path / "absent.h5")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(FeatureError, match=r"empty\.h5 is empty\. Give another"):
        hdf5.read_nested(tmp_path / "empty.h5")


def test_text_of_any_script_comes_back() -> None:
    names = ["a", "Äpfel", "植物", ""]
    assert hdf5.column(hdf5.text(names)) == names
