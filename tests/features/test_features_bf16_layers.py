"""Layers that take the place of torch's own: the same function, on CPUs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from backbench.features import bf16_layers
from backbench.features.bf16 import in_bf16

SIZES = st.integers(1, 40)


def random(*shape: int) -> torch.Tensor:
    """Normal numbers, the same for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


class Attending(torch.nn.Module):
    """One layer of attention of pixels `[n, 3, H, W]`, the rows of a picture to each other."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scaled_dot_product_attention(x, x.flip(2), x, **self.options)


@settings(deadline=None)  # the first product loads oneDNN
@given(n=st.integers(1, 3), heads=st.integers(1, 5), queries=SIZES, keys=SIZES, width=SIZES)
def test_attention_is_that_of_torch(
    n: int, heads: int, queries: int, keys: int, width: int
) -> None:
    q, k, v = (random(n, heads, *size) for size in ((queries, width), (keys, width), (keys, 7)))
    expected = scaled_dot_product_attention(q.float(), k.float(), v.float(), scale=0.2)
    found = bf16_layers.attention(q, k, v, scale=0.2)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


def test_attention_takes_a_few_heads_at_a_time_when_they_are_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q, k, v = (random(3, 5, 9 + i, 8) for i in (0, 1, 1))
    whole = bf16_layers.attention(q, k, v)
    monkeypatch.setattr(bf16_layers, "_NEAR", 4 * 9 * 10 * 2)  # of the 15 heads, 4
    assert torch.equal(bf16_layers.attention(q, k, v), whole)


def test_a_network_attends_by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    ours = bf16_layers.attention
    monkeypatch.setattr(
        bf16_layers, "attention", lambda *args, **kw: taken.append(kw) or ours(*args, **kw)
    )
    pixels = random(2, 3, 6, 6)
    with torch.inference_mode():
        found = in_bf16(Attending(scale=0.5))(pixels)
    assert taken == [{"scale": 0.5}]
    expected = Attending(scale=0.5)(pixels.float())
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


def test_a_network_is_watched_on_as_long_as_it_attends() -> None:
    attending, convolving = in_bf16(Attending()), in_bf16(torch.nn.Conv2d(3, 2, 1))
    with torch.inference_mode():
        for network in (attending, convolving):
            network(random(2, 3, 6, 6))
    assert (attending.attends, convolving.attends) == (True, False)


@pytest.mark.parametrize(
    "options", [{"is_causal": True}, {"attn_mask": torch.eye(6, dtype=torch.bool)}]
)
def test_attention_that_is_masked_is_left_to_torch(options: dict[str, object]) -> None:
    pixels = random(2, 3, 6, 6)
    with torch.inference_mode():
        found = in_bf16(Attending(**options))(pixels)
        assert torch.equal(found, Attending(**options)(pixels))


def test_attention_inside_a_layer_of_torch_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's networks are made of `MultiheadAttention`."""

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    taken = []
    ours = bf16_layers.attention
    monkeypatch.setattr(
        bf16_layers, "attention", lambda *args, **kw: taken.append(1) or ours(*args, **kw)
    )
    torch.manual_seed(0)
    block, x = Block().eval(), random(5, 3, 8)
    with torch.inference_mode():
        found, expected = in_bf16(block)(x).float(), block(x.float())
    assert taken
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03)


@settings(deadline=None)
@given(rows=st.integers(1, 70), width=SIZES, out=SIZES, bias=st.booleans())
def test_a_linear_layer_gives_what_it_gave(rows: int, width: int, out: int, bias: bool) -> None:
    layer = torch.nn.Linear(width, out, bias=bias)
    x = random(rows, width)
    with torch.inference_mode():
        found = in_bf16(torch.nn.Sequential(layer))(x)
        expected = layer(x.float())
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)
