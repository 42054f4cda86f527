"""All backbones of a chain are looked at before anything is computed."""

from pathlib import Path

import pytest

from backbench.errors import BackbenchError, BackboneError, StorageError
from backbench.files.home import features_folder
from backbench.pipeline.chain import check_backbones, run_chain
from backbench.pipeline.question import Question
from small_task import small_task


@pytest.mark.parametrize(
    ("backbones", "words"),
    [
        ([], "no backbones were given"),
        (["pixels", "clip=a.pt", "pixels=default"], "'pixels' is given twice"),
        (["pixels", "pixel"], "Did you mean 'pixels'"),
        (["pixels", ""], "'' is not a backbone"),
    ],
)
def test_a_slip_is_told_before_anything_is_computed(
    tmp_path: Path, backbones: list[str], words: str
) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    for refuse in (check_backbones, run_chain):
        with pytest.raises(BackbenchError, match=words):
            refuse(question, backbones)
    assert not Path("board").exists()


def test_imported_features_that_are_missing_are_told_for_the_last_backbone_too(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.csv").write_text("sample_id,label\na,x\nb,y\n")
    task = tmp_path / "t.toml"
    task.write_text('name = "t"\nversion = 1\nsamples = "m.csv"\n')
    with pytest.raises(BackbenchError, match="no features of mine"):
        check_backbones(Question.ask(str(task)), ["mine"])


def test_a_board_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    Path("board").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write board"):
        run_chain(Question.ask(str(small_task(tmp_path))), ["pixels"])


def test_a_command_that_is_refused_after_the_check_leaves_no_board(tmp_path: Path) -> None:
    task = small_task(tmp_path)
    task.write_text(task.read_text().replace("n_splits = 4", "n_splits = 40"))
    with pytest.raises(BackbenchError, match="40"):
        run_chain(Question.ask(str(task)), ["pixels"])
    assert not Path("board").exists()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("efficientnet_lite0=nothere.pt", r"/nothere\.pt is not a file"),
        ("pixels=grey-8", "unknown checkpoint 'grey-8'"),
        ("timm:resnett18", "no model 'resnett18'"),
        ("clip", r"needs config\.json of openai/.*backbench prefetch"),
        ("clip=mine.pt", r"needs config\.json of openai/"),
        ("bioclip", r"needs open_clip_config\.json"),
        ("convnextv2", r"needs model\.safetensors"),
    ],
)
def test_weights_of_the_last_backbone_are_looked_for_before_the_first_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, words: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    Path("mine.pt").write_bytes(b"x")
    with pytest.raises(BackboneError, match=words):
        run_chain(Question.ask(str(small_task(tmp_path))), ["pixels", last])
    assert not features_folder().exists()
    assert not Path("board").exists()
