"""Networks in bfloat16, on real weights and a real photograph."""

from copy import deepcopy

import pytest
import torch
from sklearn.datasets import load_sample_image

from backbench.backbones import load_backbone
from backbench.features.bf16 import in_bf16
from backbench.features.folding import folded
from backbench.features.forward import COSINE, lowest_cosine


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Parts `[8, 3, 224, 224]` of the two photographs that scikit-learn has."""
    parts = []
    for name in ("china.jpg", "flower.jpg"):
        pixels = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)
        parts += [pixels[:, 100:324, left : left + 224] for left in (0, 120, 240, 360)]
    scaled = torch.stack(parts).float() / 127.5 - 1
    return scaled.contiguous(memory_format=torch.channels_last)


def test_depthwise_convolutions_cost_less_accuracy_than_plain_bfloat16(
    photographs: torch.Tensor,
) -> None:
    network = folded(load_backbone("efficientnet_lite0").module.eval(), photographs)
    with torch.inference_mode():
        expected = network(photographs).numpy()
        ours = in_bf16(network)(photographs.bfloat16()).float().numpy()
        plain = deepcopy(network).bfloat16()(photographs.bfloat16()).float().numpy()
    assert lowest_cosine(expected, ours) > COSINE
    assert 1 - lowest_cosine(expected, ours) < 0.5 * (1 - lowest_cosine(expected, plain))


def test_the_network_itself_stays_as_it_is(photographs: torch.Tensor) -> None:
    depthwise = torch.nn.Conv2d(3, 3, 3, groups=3)
    module = torch.nn.Sequential(depthwise, torch.nn.Flatten())
    before = depthwise.weight.clone()
    found = in_bf16(module)(photographs.bfloat16())
    assert found.dtype == torch.bfloat16
    assert torch.equal(module[0].weight, before)
    torch.testing.assert_close(found.float(), module(photographs), rtol=0.02, atol=0.02)
