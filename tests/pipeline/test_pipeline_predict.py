"""`backbench predict`: every readable picture gets an answer, every other one is named."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from backbench.errors import SampleError, StorageError, TaskError, TrackingError
from backbench.pipeline.predict import predict


@pytest.fixture
def pictures(chain, tmp_path: Path) -> Path:
    """Four pictures of the chain's, and what a Mac leaves beside them."""
    folder = tmp_path / "new"
    folder.mkdir()
    for number in range(4):
        name = f"p{number:03d}.png"
        (folder / name).write_bytes((chain.folder / "pictures" / name).read_bytes())
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    return folder


@pytest.mark.parametrize("by_file", [True, False])
def test_the_task_may_be_a_name_or_a_file(chain, pictures: Path, by_file: bool) -> None:
    with chain.entered():
        table = predict(
            pictures,
            task=chain.task if by_file else "small",
            alias="champion",
            out=pictures.parent / "answers.csv",
        )
    assert [Path(path).name for path in table["path"]] == [f"p{i:03d}.png" for i in range(4)]
    assert not (pictures.parent / "answers_errors.csv").exists()


def test_a_bad_picture_is_named_and_the_others_are_answered_for(chain, pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    out = pictures.parent / "answers.csv"
    with chain.entered(), pytest.raises(SampleError, match=r"1 of 5 pictures.*bad\.png") as error:
        predict(pictures, task=chain.task, alias="champion", out=out)
    assert len(pd.read_csv(out)) == 4
    (row,) = pd.read_csv(out.with_name("answers_errors.csv")).itertuples()
    assert row.path == str(pictures / "bad.png")
    for text in (str(error.value), row.error):
        assert " at 0x" not in text
        assert "\n" not in text


def test_a_list_of_bad_pictures_is_gone_once_all_can_be_read(chain, pictures: Path) -> None:
    """Of this output alone: other predictions and `extract` list theirs in the same folder."""
    lists = [pictures.parent / f"{name}_errors.csv" for name in ("answers", "others", "data")]
    for listed in lists:
        listed.write_text("path,error\nbad.png,no picture\n")
    with chain.entered():
        predict(pictures, task="small", alias="champion", out=pictures.parent / "answers.csv")
    assert [listed.exists() for listed in lists] == [False, True, True]


def test_files_that_are_not_read_are_counted(chain, pictures: Path, capsys) -> None:
    (pictures / "phone.HEIC").write_bytes(b"")
    with chain.entered():
        predict(pictures, task="small", alias="champion", out=pictures.parent / "answers.csv")
    said = capsys.readouterr().out
    assert said.startswith("warning   1 file is of no format that is read (.heic 1).\n")
    assert "predict   4 pictures by" in said


def test_the_answer_for_one_picture_is_said(chain, pictures: Path, capsys) -> None:
    one = pictures / "p000.png"
    with chain.entered():
        table = predict(one, task="small", alias="champion", out=pictures.parent / "answers.csv")
    said, p = capsys.readouterr().out, table["probability"].iloc[0]
    assert f"predict   {one} is '{table['class'].iloc[0]}', probability {p:.3f}, by small" in said


def test_a_reason_that_is_a_sentence_ends_once(chain, pictures: Path) -> None:
    Image.new("I", (8, 8), -5).save(pictures / "signed.tif")
    with chain.entered(), pytest.raises(SampleError, match=r"16-bit integers\)\. All of them"):
        predict(pictures, task="small", alias="champion", out=pictures.parent / "a.csv")


def test_as_many_may_be_bad_as_the_task_allows(chain, pictures: Path, capsys) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    lenient = pictures.parent / "lenient.toml"
    lenient.write_text("max_error_fraction = 0.5\n" + Path(chain.task).read_text())
    out = pictures.parent / "answers.parquet"
    with chain.entered():
        predict(pictures, task=str(lenient), alias="champion", out=out)
    assert len(pd.read_parquet(out)) == 4
    assert "1 of 5 pictures cannot be read" in capsys.readouterr().out


def test_nothing_is_written_where_no_picture_can_be_read(chain, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    with chain.entered(), pytest.raises(SampleError, match="1 of 1 pictures"):
        predict(tmp_path, task=chain.task, alias="champion", out=tmp_path / "answers.csv")
    assert not (tmp_path / "answers.csv").exists()


def test_an_output_that_cannot_be_written_is_told_before_a_champion_is_looked_for(
    pictures: Path,
) -> None:
    for out in ("/proc/zzz/answers.csv", str(pictures / "p000.png" / "answers.csv")):
        with pytest.raises(StorageError, match=f"cannot write {out}") as error:
            predict(pictures, task="small", alias="champion", out=Path(out))
        assert "BACKBENCH_HOME" not in str(error.value)


def test_a_task_without_a_champion_is_told_with_what_was_given(chain, pictures: Path) -> None:
    with chain.entered():
        for task, words in ((chain.task, chain.task), ("small", "TASK.toml")):
            with pytest.raises(TrackingError, match="nobody is bronze of 'small'") as error:
                predict(pictures, task=task, alias="bronze", out=pictures / "a.csv")
            assert f"--task {words}" in str(error.value)
        with pytest.raises(TaskError, match="does not exist"):
            predict(pictures, task="no.toml", alias="champion", out=pictures / "a.csv")


def test_what_does_not_exist_is_not_said_to_be_empty(tmp_path: Path) -> None:
    for name, words in (("nofolder", "does not exist"), ("", "has no pictures below it")):
        with pytest.raises(SampleError, match=f"^{tmp_path / name} {words}; give a picture"):
            predict(tmp_path / name, task="small", alias="champion", out=tmp_path / "a.csv")
