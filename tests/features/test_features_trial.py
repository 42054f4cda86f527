"""Large JPEGs are decoded at reduced scale only where that changes no row much."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbench.backbones import Transform
from backbench.features.forward import Forward
from backbench.features.loading import Pictures
from backbench.features.trial import choose_decoding, rehearsal
from backbench.samples import FileSource, Samples
from features_bench import Bench, table

TRANSFORM = Transform(
    size=(32, 32),
    resize="squash",
    edge=(32, 32),
    interpolation="bicubic",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


class Flat(torch.nn.Module):
    """The picture, coarse or in full."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(side)

    def forward(self, pixels):
        return self.pool(pixels).flatten(1)


def photographs(folder, noise: float, size: int = 400) -> Pictures:
    """JPEGs of a smooth gradient with some noise."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(6):
        ramp = np.linspace(0, 200, size)[:, None, None] + np.zeros((size, size, 3)) + 5 * i
        pixels = (ramp + rng.normal(0, noise, ramp.shape)).clip(0, 255).astype(np.uint8)
        paths.append(str(folder / f"{i}.jpg"))
        Image.fromarray(pixels).save(paths[-1], quality=95)
    return Pictures(FileSource(paths), TRANSFORM)


def chosen(pictures, side=4):
    forward = Forward(Flat(side), torch.device("cpu"), 8)
    return choose_decoding(pictures, range(6), forward, TRANSFORM.fields())


def test_smooth_pictures_are_decoded_small(tmp_path):
    decoding = chosen(photographs(tmp_path, noise=2))
    assert decoding.min_side == 32
    assert "lowest cosine" in decoding.note


def test_a_picture_that_no_transform_takes_is_no_reason_to_stop(tmp_path):
    pictures = photographs(tmp_path, noise=0)

    def picky(image):
        if np.asarray(image).min() < 1:  # the first is the darkest
            raise ValueError("height and width must be > 0")
        return TRANSFORM(image)

    pictures = replace(pictures, transform=picky)
    assert pictures[[0, 1]].rows == [1]
    assert chosen(pictures).min_side == 32
    pixels, _ = rehearsal(pictures, [0], (32, 32))
    assert pixels.shape == (1, 3, 32, 32)


def test_where_nothing_is_readable_nothing_is_tried(tmp_path):
    pictures = photographs(tmp_path, noise=2)
    for path in pictures.source.paths:
        Path(path).write_bytes(b"no picture")
    assert chosen(pictures).min_side is None


def test_pictures_that_would_change_are_decoded_in_full(tmp_path):
    """Noise of one pixel's width averages out differently at reduced scale."""
    pictures = photographs(tmp_path, noise=0)
    for path in pictures.source.paths:
        checks = np.indices((400, 400)).sum(0) % 2 * 255
        Image.fromarray(checks.astype(np.uint8)).convert("RGB").save(path, quality=100)

    class Contrast(torch.nn.Module):
        def forward(self, pixels):
            return (pixels - pixels.mean((2, 3), keepdim=True)).flatten(1)

    forward = Forward(Contrast(), torch.device("cpu"), 8)
    decoding = choose_decoding(pictures, range(6), forward, TRANSFORM.fields())
    assert decoding.min_side is None
    assert "had cosine" in decoding.note


def test_small_pictures_need_no_trial(tmp_path):
    decoding = chosen(photographs(tmp_path, noise=2, size=40))
    assert decoding.min_side is None
    assert "no picture" in decoding.note


def test_an_unreadable_picture_does_not_stop_the_trial(tmp_path):
    pictures = photographs(tmp_path, noise=2)
    (tmp_path / "3.jpg").write_bytes(b"oops")
    assert chosen(pictures).min_side == 32


@pytest.mark.parametrize("count", [10, 80])
def test_the_scale_is_written_down(tmp_path, count):
    """Ten pictures are too few for a trial."""
    for i in range(count):
        Image.new("RGB", (256, 256), (i, 2 * i, 60)).save(tmp_path / f"{i}.jpg")
    paths = [str(tmp_path / f"{i}.jpg") for i in range(count)]
    samples = Samples("jpegs", table([str(i) for i in range(count)], paths), FileSource(paths))
    known = Bench().extract(samples).provenance
    assert known["min_side"] == (16 if count == 80 else 0)
