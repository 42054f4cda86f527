"""Tables as spreadsheets write them are read, or refused with the cure."""

from pathlib import Path

import pytest

from backbench.errors import SampleError
from backbench.samples.tables import read_numbers, read_text


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "m.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_spaces_around_names_and_cells_are_no_part_of_them(tmp_path: Path) -> None:
    path = table(tmp_path, 'sample_id, path ,label\na, "x, y.png",p\n')
    (row,) = read_text(path, ("sample_id", "path", "label")).to_dict("records")
    assert row == {"sample_id": "a", "path": "x, y.png", "label": "p"}
    numbers = read_numbers(table(tmp_path, "day, id , value\n1, 007, 0.5\n"), ("id",))
    assert numbers["id"].tolist() == ["007"]


def test_a_table_that_is_not_utf_8_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = table(tmp_path, "sample_id,label\na,Blüte\n", "latin-1")
    with pytest.raises(SampleError, match=r"not UTF-8 \(it has a byte 0xfc\); save it as UTF-8"):
        read_text(path, ("sample_id",))


def test_semicolons_instead_of_commas_are_recognised(tmp_path: Path) -> None:
    path = table(tmp_path, "sample_id;label\na;x\n")
    with pytest.raises(SampleError, match=r"has sample_id;label\. .*by ';': save it with commas\."):
        read_text(path, ("sample_id", "label"))
