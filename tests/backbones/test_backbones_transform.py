"""One transform class, held equal to what each library itself makes of a picture."""

import json
import pickle

import numpy as np
import pytest
import timm
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from backbench.backbones import Transform, from_open_clip, from_timm, load_backbone, processors
from backbench.errors import BackboneError
from tiny_hub import CLIP_PROCESSOR, DINOV2_PROCESSOR, SIGLIP_PROCESSOR, VIT_PROCESSOR

TIGHT = 1e-6
SIDES = st.tuples(st.integers(9, 260), st.integers(9, 260))
RATIOS = [(224, 224), (640, 480), (480, 640), (33, 97), (300, 17), (8, 8), (257, 256), (1, 1)]
REAL_CLIP = CLIP_PROCESSOR | {"crop_size": 224, "size": 224}
REAL_DINOV2 = DINOV2_PROCESSOR | {
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 256},
}
PROCESSORS = {
    "clip": REAL_CLIP,
    "dinov2": REAL_DINOV2,
    "odd margins": REAL_DINOV2 | {"crop_size": {"height": 221, "width": 221}},
    "vit": VIT_PROCESSOR,
    "siglip": SIGLIP_PROCESSOR,
}
OPEN_CLIP = {
    "bioclip": PreprocessCfg(),
    "squash": PreprocessCfg(size=(40, 40), resize_mode="squash", interpolation="bilinear"),
    "longest": PreprocessCfg(size=(40, 40), resize_mode="longest", fill_color=120),
    "not square": PreprocessCfg(size=(40, 56), mean=(0.5,) * 3, std=(0.5,) * 3),
}
TIMM = ["tf_efficientnet_lite0", "convnextv2_base.fcmae_ft_in22k_in1k_384", "resnet18.a1_in1k"]


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1)])
def test_a_picture_like_a_line_keeps_a_pixel(size):
    transform = Transform((40, 40), "longest", (40, 40), "bicubic", (0.0,) * 3, (1.0,) * 3)
    assert transform(Image.new("RGB", size, "white")).shape == (3, 40, 40)


def noise(width, height, seed=0):
    """A picture with structure at several scales, so that filters differ."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)), dtype=np.int16)
    grain = generator.integers(-30, 31, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def difference(ours, theirs):
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    return (ours - theirs).abs().max().item()


def processor(folder, fields):
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))
    return processors.processor_of(folder)


@pytest.mark.parametrize("name", PROCESSORS)
def test_it_equals_the_pillow_processor_of_transformers(tmp_path, name):
    theirs = processor(tmp_path, PROCESSORS[name])
    ours = processors.transform_of(tmp_path, name)
    for seed, (width, height) in enumerate(RATIOS):
        picture = noise(width, height, seed)
        # transformers rescales in float64 and rounds once more than we do: one float32 step.
        assert difference(ours(picture), processors.reference(theirs, picture)) <= TIGHT


@pytest.mark.parametrize("name", OPEN_CLIP)
def test_it_equals_the_preprocessing_of_open_clip(name):
    config = OPEN_CLIP[name]
    theirs = image_transform_v2(config, is_train=False)
    ours = from_open_clip.transform_of(vars(config), config.size)
    for seed, (width, height) in enumerate(RATIOS):
        picture = noise(width, height, seed)
        assert difference(ours(picture), theirs(picture)) == 0


@pytest.mark.parametrize("name", TIMM)
def test_it_equals_the_evaluation_transform_of_timm(name):
    config = from_timm.published_config(name)
    theirs = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg=dict(config)), is_training=False
    )
    ours = from_timm.transform_of(config)
    for seed, (width, height) in enumerate(RATIOS):
        picture = noise(width, height, seed)
        assert difference(ours(picture), theirs(picture)) == 0


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(3, 30, 30), (3, 30, 44)])
@settings(max_examples=25, deadline=None)
@given(sides=SIDES, crop_pct=st.sampled_from([0.8, 0.875, 0.9, 0.95, 1.0]))
def test_it_equals_timm_whatever_the_shape(mode, size, sides, crop_pct):
    config = {
        "input_size": size,
        "crop_pct": crop_pct,
        "crop_mode": mode,
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    theirs = timm.data.create_transform(**config, is_training=False)
    picture = noise(*sides)
    assert difference(from_timm.transform_of(config)(picture), theirs(picture)) == 0


def test_tensors_resized_by_torchvision_are_something_else(tmp_path):
    """The trap: transformers 5 prefers a processor that resizes tensors, and its values differ."""
    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip("transformers 4 has no such default")
    ours = processor(tmp_path, REAL_CLIP) and processors.transform_of(tmp_path, "clip")
    fast = transformers.AutoImageProcessor.from_pretrained(str(tmp_path), backend="torchvision")
    picture = noise(640, 480)
    assert difference(ours(picture), processors.reference(fast, picture)) > 1000 * TIGHT


def test_another_interpolation_or_scale_would_show(tmp_path):
    theirs = processor(tmp_path, REAL_CLIP)
    picture = noise(640, 480)
    expected = processors.reference(theirs, picture)
    right = vars(processors.transform_of(tmp_path, "clip"))
    wrongs = ({"interpolation": "bilinear"}, {"resize": "squash"}, {"std": (0.5, 0.5, 0.5)})
    for wrong in wrongs:
        assert difference(Transform(**{**right, **wrong})(picture), expected) > 0.01


@pytest.mark.parametrize(
    ("kind", "more", "why"),
    [
        ("ConvNext", {"size": {"shortest_edge": 28}, "crop_pct": 0.875}, "different sizes"),
        ("EfficientNet", {"include_top": True}, "a test picture differs by"),
        ("ViT", {"do_resize": False}, "does not resize"),
    ],
)
def test_a_processor_that_does_more_than_its_fields_is_refused(tmp_path, kind, more, why):
    fields = VIT_PROCESSOR | {"image_processor_type": f"{kind}ImageProcessor"} | more
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    with pytest.raises(BackboneError, match=f"cannot be expressed as resize.*{why}"):
        processors.transform_of(tmp_path, "hf:a/b")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "pixels"])
def test_it_survives_pickling_for_data_workers(name):
    transform = load_backbone(name).transform
    again = pickle.loads(pickle.dumps(transform))
    picture = noise(50, 70)
    assert torch.equal(transform(picture), again(picture))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_other_modes_become_rgb(mode):
    transform = load_backbone("pixels").transform
    assert transform(noise(40, 40).convert(mode)).shape == (3, 32, 32)


def test_a_small_picture_is_repeated_exactly_by_the_pixels_baseline():
    tiny = noise(8, 8)
    made = load_backbone("pixels").transform(tiny)
    original = torch.from_numpy(np.array(tiny)).permute(2, 0, 1) / 255
    assert torch.equal(made[:, ::4, ::4], original)
    assert torch.equal(made[:, 3::4, 3::4], original)


def test_what_it_does_is_recorded():
    fields = load_backbone("efficientnet_lite0").transform.fields()
    assert fields["size"] == [224, 224]
    assert fields["edge"] == [256, 256]
    assert (fields["interpolation"], fields["resize"]) == ("bicubic", "shortest")
    assert fields["mean"] == fields["std"] == [0.5, 0.5, 0.5]
    json.dumps(fields, allow_nan=False)


def test_a_misspelt_field_is_refused():
    right = vars(load_backbone("pixels").transform)
    with pytest.raises(BackboneError, match="no interpolation 'cubic'"):
        Transform(**{**right, "interpolation": "cubic"})
    with pytest.raises(BackboneError, match="got 'stretch'"):
        Transform(**{**right, "resize": "stretch"})
