"""The confusion matrix can be drawn whatever classes are called and however many there are."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbench.leaderboard.lettering import any_script
from backbench.pipeline.pictures import confusion_picture


def drawn(folder: Path, classes: tuple[str, ...], title: str = "pixels") -> Image.Image:
    matrix = np.eye(len(classes)) * 10
    return Image.open(confusion_picture(matrix, classes, title, folder / "confusion.png"))


@pytest.mark.parametrize("name", ["$10_$20", "$", r"\$a$", "a" * 300, "<b>"])
def test_a_name_is_drawn_as_it_is(tmp_path: Path, name: str) -> None:
    width, height = drawn(tmp_path, (name, "other", "third"), title=name).size
    assert 300 < height <= width < 800


def test_a_script_that_no_font_has_says_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    drawn(tmp_path, ("日本", "한국", "cat"), title="日本")
    assert not [one for one in recwarn if "missing from font" in str(one.message)]


def test_other_warnings_of_a_drawing_are_heard() -> None:
    with pytest.warns(UserWarning, match="no letter"), any_script():
        warnings.warn("this is no letter", stacklevel=1)


def test_a_thousand_classes_fit_a_screen_and_the_diagonal_is_there(tmp_path: Path) -> None:
    picture = drawn(tmp_path, tuple(f"class {number}" for number in range(1000)))
    assert max(picture.size) < 2400
    red = np.asarray(picture.convert("RGB"))[:, : picture.width * 8 // 10, 0]
    rows = ((red > 20) & (red < 200)).any(axis=1)
    assert rows.mean() > 0.8
