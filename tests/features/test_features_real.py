"""The real small backbone on real digits."""

import numpy as np
import pytest

from backbench.errors import BackboneError
from backbench.features import extract
from backbench.samples import load_samples
from backbench.tasks import load_task


@pytest.fixture(scope="module")
def digits():
    return load_samples(load_task("digits")).subset(np.arange(10))


@pytest.mark.slow
def test_efficientnet_rows_alone_equal_those_of_a_batch(digits):
    together = extract(digits, "efficientnet_lite0", precision="fp32")
    assert together.X.shape == (10, 1280)
    halves = []
    for i, rows in enumerate((np.arange(2), np.arange(2, 4))):
        part = digits.subset(rows)
        alone = extract(
            type(part)(f"part{i}", part.frame, part.source), "efficientnet_lite0", batch_size=1
        )
        halves.append(alone.X)
    assert np.abs(np.concatenate(halves) - together.X[:4]).max() < 1e-5
    assert together.provenance["licence"] == "Apache-2.0"
    assert extract(digits, "efficientnet_lite0", precision="fp32").computed == 0


def test_pixels_are_their_own_features(digits):
    found = extract(digits, "pixels")
    assert found.provenance["parameters"] == 0
    assert found.provenance["precision"] == "fp32"
    assert 0 <= found.X.min() < found.X.max() <= 1


def test_an_unknown_backbone_is_told_before_anything_is_made(digits, own_home):
    with pytest.raises(BackboneError, match="Did you mean"):
        extract(digits, "efficientnet_lite")
    assert not (own_home / "features").exists()
