"""Layers that take the place of torch's own in bfloat16: for their numbers, or for speed on CPUs.

Both of the fast ones leave the work to oneDNN's matrix products, which use a CPU's bf16 units well.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_NEAR = 2 * 2**20
"""Bytes of attention weights at a time: what stays in a near cache."""
_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
# What torch.compile makes of linear layers. torch promises nobody that they stay.
_lay_out: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_multiply: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)

Tensor = torch.Tensor


def is_depthwise(layer: torch.nn.Module) -> bool:
    """Whether each output channel of a convolution sees one input channel only."""
    return isinstance(layer, torch.nn.Conv2d) and layer.groups == layer.in_channels > 1


class InTwoParts(torch.nn.Module):
    """A depthwise convolution whose weights are two bfloat16 numbers: rounded, and what that left.

    It sums so few products that the rounding of its weights does not average out: in
    efficientnet_lite0 it alone moves a row from cosine 0.9999 to 0.998. Two convolutions are still
    faster than one in float32.
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        """Take over the weights of a float32 convolution."""
        super().__init__()
        rounded, rest = deepcopy(layer).to(torch.bfloat16), deepcopy(layer)
        assert isinstance(rounded, torch.nn.Conv2d)
        assert isinstance(rest, torch.nn.Conv2d)
        rest.weight.data -= rounded.weight.data.float()
        rest.bias = None
        self.rounded, self.rest = rounded, rest.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """Both parts' output `[n, C, H, W]`, bfloat16."""
        result: Tensor = self.rounded(x) + self.rest(x)
        return result


def can_be_laid_out(layer: torch.nn.Module) -> bool:
    """Whether `LaidOut` can take the place of a layer on this torch."""
    return type(layer) is torch.nn.Linear and None not in {_lay_out, _multiply}


class LaidOut(torch.nn.Linear):
    """A linear layer whose weights lie as products want them; torch's own is laid out each time."""

    def __init__(self, layer: torch.nn.Module) -> None:
        """Take over the weights of a float32 linear layer."""
        assert isinstance(layer, torch.nn.Linear)
        bias = layer.bias is not None
        super().__init__(layer.in_features, layer.out_features, bias, dtype=torch.bfloat16)
        self.load_state_dict(layer.state_dict())
        self.laid_out = _lay_out(self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """`x @ weight.T + bias`, `[..., out]`, bfloat16."""
        result: Tensor = _multiply(x, self.laid_out, self.bias, "none", [], "")
        return result


class AttentionByProducts(torch.nn.Module):
    """A network whose attention is two matrix products and a softmax, of a few heads at a time.

    torch's own on CPUs makes products too small for bf16 units.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        """Stand before a bfloat16 network."""
        super().__init__()
        self.network, self.attends = network, True

    def forward(self, pixels: Tensor) -> Tensor:
        """What the network gives; after the first time, one without attention is not watched."""
        if not self.attends:
            return cast("Tensor", self.network(pixels))
        with _ByProducts() as watch:
            result: Tensor = self.network(pixels)
        self.attends = watch.attention_seen
        return result


class _ByProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation in its block, and does attention itself."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.attention_seen = False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own types
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        del types
        options = kwargs or {}
        self.attention_seen |= func is _ATTENTION
        if func is _ATTENTION and _plain(args, options):
            return attention(*args, **options)
        return func(*args, **options)


def _plain(args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether nothing but q, k, v and the scale is given: no mask, no dropout."""
    if len(args) > 3 or not options.keys() <= {"scale"}:
        return False
    q, k, _ = args
    plain: bool = q.dtype == torch.bfloat16 and q.dim() == 4 and q.shape[:2] == k.shape[:2]
    return plain


def attention(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """`softmax(scale * q @ k.T) @ v`, as `torch.nn.functional.scaled_dot_product_attention`.

    Args:
        q: `[n, heads, queries, width]`.
        k: `[n, heads, keys, width]`.
        v: `[n, heads, keys, out]`.
        scale: 1 / sqrt(width) unless given.

    Returns:
        `[n, heads, queries, out]`.
    """
    n, heads, queries, width = q.shape
    scale = width**-0.5 if scale is None else scale
    q, k, v = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
    result = q.new_empty(n * heads, queries, v.shape[2])
    at_once = max(1, _NEAR // (queries * k.shape[1] * q.element_size()))
    space = q.new_empty(min(at_once, n * heads), queries, k.shape[1])
    for start in range(0, n * heads, at_once):
        some = slice(start, start + at_once)
        weights = space[: len(q[some])]
        torch.baddbmm(weights, q[some], k[some].mT, beta=0, alpha=scale, out=weights)
        torch.softmax(weights, -1, out=weights)
        torch.bmm(weights, v[some], out=result[some])
    return result.view(n, heads, queries, -1)
