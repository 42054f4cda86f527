"""Who asks is told the classes and their counts, and what is mostly a slip."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from backbench.cli import main
from backbench.pipeline.about_samples import about_samples
from backbench.samples import NoFiles, Samples, load_samples
from backbench.tasks import Task
from small_task import small_task


def lines_of(labels: list[str], groups: list[str] | None = None) -> list[str]:
    ids = [f"s{i}" for i in range(len(labels))]
    columns = {"sample_id": ids, "label": labels, "group": groups or ids, "split": "", "path": ""}
    return list(about_samples(Samples("scans", pd.DataFrame(columns), NoFiles())))


def test_classes_are_counted() -> None:
    assert lines_of(["10", "9", "9", "10", "10"]) == ["samples   scans: 5 in 5 groups; 9 2, 10 3"]


def test_of_many_classes_the_smallest_and_the_largest_are_told() -> None:
    (line,) = lines_of([f"c{i:02d}" for i in range(30) for _ in range(2 + i)])
    assert line.endswith("; 30 classes, from c00 2 to c29 31")


def test_a_class_of_one_sample_is_warned_of() -> None:
    (_, line) = lines_of(["a", "a", "b"])
    assert line.startswith("warning   class 'b' has one sample only")


def test_a_class_in_one_group_only_is_warned_of() -> None:
    """No fold may have a group on both sides."""
    (_, line) = lines_of(["a", "a", "b", "b", "b"], ["g", "h", "k", "k", "k"])
    assert line.startswith("warning   class 'b' has samples of one group only")
    (_, *lines) = lines_of(["a", "b", "b"], ["g", "h", "h"])
    assert [line.partition(",")[0] for line in lines] == [
        "warning   class 'a' has one sample only",
        "warning   class 'b' has samples of one group only",
    ]


def test_files_that_are_not_read_and_classes_without_a_picture_are_told(tmp_path: Path) -> None:
    """Photographs of a phone would be left out without a word."""
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        picture = tmp_path / "data" / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(picture)
    for name in ("a/1.HEIC", "b/deep/2.heic", "b/3.dcm", "c/._4.heic", "notes.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    samples = load_samples(Task(name="mine", version=1, samples=str(tmp_path / "data")))
    assert list(about_samples(samples)) == [
        "samples   mine: 4 in 4 groups; a 2, b 2",
        "warning   3 files are of no format that is read (.heic 2, .dcm 1).",
        "warning   no picture is in class folder 'c'.",
    ]


@pytest.mark.parametrize("name", ["nan", "NaN", "None", "null"])
def test_a_class_called_like_a_missing_value_is_warned_of(name: str) -> None:
    (_, line) = lines_of(["a", "a", name, name])
    assert line.startswith(f"warning   class '{name}' has the name of a missing value")


def test_extract_tells_them_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = small_task(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["extract", "--task", str(task), "--backbone", "pixels"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("samples   small: 60 in 20 groups; n0 20, n1 20, n2 20\n")
