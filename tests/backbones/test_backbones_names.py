"""Backbones as they are asked for: `clip`, `clip=weights.pt`, `hf:a/b?pool=cls=weights.pt`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbench.backbones import parse_backbone, spelled
from backbench.backbones.table import BACKBONES, POOLINGS
from backbench.errors import BackboneError

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
    with pytest.raises(BackboneError, match="is not a backbone"):
        parse_backbone(spec)
