"""Layers that take the place of torch's own: the same function."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrizations, spectral_norm

from backbench.features import bf16_layers
from backbench.features.bf16 import in_bf16

SIZES = st.integers(1, 40)
needs_units = pytest.mark.skipif(
    not bf16_layers.cpu_multiplies(), reason="a CPU without units for bfloat16"
)


def random(*shape: int) -> torch.Tensor:
    """Normal numbers, the same for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


@needs_units
@settings(deadline=None)  # the first product loads oneDNN
@given(n=st.integers(1, 3), rows=SIZES, width=SIZES, out=SIZES, bias=st.booleans())
def test_a_linear_layer_that_is_laid_out_gives_what_it_gave(
    n: int, rows: int, width: int, out: int, bias: bool
) -> None:
    layer = torch.nn.Linear(width, out, bias=bias)
    x = random(n, width, rows).mT
    network = in_bf16(torch.nn.Sequential(layer, torch.nn.ReLU()))
    assert any(type(part) is bf16_layers.LaidOut for part in network.modules())
    with torch.inference_mode():
        found, expected = network(x), layer(x.float()).relu()
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


@needs_units
def test_a_laid_out_layer_still_tells_its_type() -> None:
    layer = bf16_layers.LaidOut(torch.nn.Linear(5, 3))
    assert (layer.weight.dtype, layer.weight.shape) == (torch.bfloat16, (3, 5))
    assert layer.bias.dtype == torch.bfloat16


@pytest.mark.parametrize("normed", [spectral_norm, parametrizations.weight_norm])
def test_a_layer_whose_weights_are_made_anew_at_every_call_stays(normed) -> None:
    torch.manual_seed(0)
    layer, x = normed(torch.nn.Linear(8, 4)).eval(), random(3, 8)
    with torch.inference_mode():
        found, expected = in_bf16(layer)(x), layer(x.float())
    size = expected.abs().max()  # a norm that is estimated once may be far off, and weights large
    torch.testing.assert_close(found.float() / size, expected / size, rtol=0.03, atol=0.03)


def test_without_units_linear_layers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bf16_layers, "_has_units", lambda: False)
    monkeypatch.setattr(bf16_layers, "_lay_out", None)
    network = in_bf16(torch.nn.Linear(8, 4))
    assert not any(isinstance(part, bf16_layers.LaidOut) for part in network.modules())
    assert network(random(3, 8)).shape == (3, 4)


def test_a_network_that_is_one_depthwise_layer_gets_two_parts() -> None:
    network = in_bf16(torch.nn.Conv2d(3, 3, 3, groups=3))
    assert any(isinstance(part, bf16_layers.InTwoParts) for part in network.modules())
