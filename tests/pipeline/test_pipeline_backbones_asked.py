"""Backbones as they are asked for: `clip`, `clip=weights.pt`, `hf:a/b?pool=cls=weights.pt`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbench.backbones.identity import spelled
from backbench.backbones.table import BACKBONES, POOLINGS
from backbench.errors import BackbenchError, StorageError, TaskError
from backbench.pipeline.chain import check_backbones, parse_backbone, run_chain
from backbench.pipeline.question import Question
from small_task import small_task

PLAIN = st.text(st.characters(exclude_characters="=?"), min_size=1)
POOLED = st.builds("hf:{}?pool={}".format, PLAIN, st.sampled_from(POOLINGS))


@given(
    backbone=st.sampled_from(sorted(BACKBONES)) | PLAIN | POOLED,
    checkpoint=st.just("default") | st.text(min_size=1),
)
def test_what_is_spelled_is_understood(backbone: str, checkpoint: str) -> None:
    assert parse_backbone(spelled(backbone, checkpoint)) == (backbone, checkpoint)


def test_a_checkpoint_may_have_any_name() -> None:
    assert parse_backbone("clip=a?b=c.pt") == ("clip", "a?b=c.pt")


@pytest.mark.parametrize("spec", ["", "=", "clip=", "=weights.pt", "hf:a/b?pool=cls="])
def test_nothing_on_either_side_is_refused(spec: str) -> None:
    with pytest.raises(TaskError, match="is not a backbone"):
        parse_backbone(spec)


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
