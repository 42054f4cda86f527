"""The packaged ImageNet weights: named right, loaded whole, and really able to see."""

from pathlib import Path

import matplotlib as mpl
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from backbench.backbones import checkpoints, efficientnet_lite0, from_timm, load_backbone
from backbench.errors import BackboneError

PUBLISHED = "9389cbe5"


@pytest.fixture(scope="module")
def packaged():
    return checkpoints.read(efficientnet_lite0.path())


@pytest.fixture(scope="module")
def classifier(packaged):
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    checkpoints.fill(network, efficientnet_lite0.translated(packaged), "the whole network")
    return network


def test_all_296_tensors_find_their_place(packaged):
    wanted = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    translated = efficientnet_lite0.translated(packaged).state
    assert len(packaged.state) == len(translated) == len(wanted) == 296
    assert list(translated) == list(wanted), "the same tensors in the same order"
    assert all(translated[name].shape == wanted[name].shape for name in wanted)


def photographs():
    images = load_sample_images().images
    hopper = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return {
        "palace": (698, Image.fromarray(images[0])),
        "daisy": (985, Image.fromarray(images[1])),
        "military uniform": (652, Image.open(hopper).convert("RGB")),
    }


def test_it_knows_what_is_on_real_photographs(classifier):
    transform = from_timm.transform_of(from_timm.published_config("tf_efficientnet_lite0"))
    ranks = {}
    for name, (label, picture) in photographs().items():
        with torch.inference_mode():
            order = classifier(transform(picture)[None])[0].argsort(descending=True)
        ranks[name] = order.tolist().index(label)
    assert ranks["palace"] == ranks["daisy"] == 0
    assert ranks["military uniform"] <= 2, "behind two kinds of gown"


def test_tensors_in_another_order_of_blocks_would_not_know(classifier, packaged):
    """The check above can fail: swap two blocks of equal shape."""
    state = dict(efficientnet_lite0.translated(packaged).state)
    for name in [name for name in state if name.startswith("blocks.3.1.")]:
        other = name.replace("blocks.3.1.", "blocks.3.2.")
        state[name], state[other] = state[other], state[name]
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(state)
    transform = from_timm.transform_of(from_timm.published_config("tf_efficientnet_lite0"))
    with torch.inference_mode():
        batch = torch.stack([transform(picture) for _, picture in photographs().values()])
        assert not torch.allclose(network(batch), classifier(batch), atol=0.5)


def test_a_name_of_another_network_is_refused():
    for name in ("_blocks.16._bn0.weight", "_blocks.0._expand_conv.weight", "layer1.0.weight"):
        with pytest.raises(BackboneError, match="none of EfficientNet-Lite0's"):
            efficientnet_lite0.timm_name(name)


def test_the_published_weights_are_these():
    backbone = load_backbone("efficientnet_lite0")
    assert backbone.identity.weights.startswith(PUBLISHED)
    assert backbone.dim == 1280
    assert backbone.loaded["dropped"] == {"classifier.": 2}


UNTRAINED = "0be40b23"


def test_untrained_weights_are_the_same_on_every_machine():
    """A literal: another machine, torch or timm that draws other numbers fails here."""
    torch.manual_seed(99)
    backbone = load_backbone("efficientnet_lite0", "untrained")
    assert backbone.identity.weights.startswith(UNTRAINED)
    assert backbone.loaded == {"untrained_seed": 20260101}


def test_untrained_vectors_differ_between_pictures_and_stay_finite():
    backbone = load_backbone("efficientnet_lite0", "untrained")
    with torch.inference_mode():
        batch = torch.stack([backbone.transform(p) for _, p in photographs().values()])
        vectors = backbone.module(batch)
    assert bool(vectors.isfinite().all())
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3
    assert 1e-3 < vectors.std() < 1e3
