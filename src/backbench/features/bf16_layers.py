"""Layers that take the place of torch's own in bfloat16, for their numbers or for speed on CPUs."""

from copy import deepcopy
from typing import Any

import torch

# What torch.compile makes of linear layers. torch promises nobody that they stay.
_has_units: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
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


def cpu_multiplies() -> bool:
    """Whether oneDNN multiplies bfloat16 on this CPU, and this torch lets us ask it to."""
    return None not in {_has_units, _lay_out, _multiply} and bool(_has_units())


def is_plain_linear(layer: torch.nn.Module) -> bool:
    """Whether `LaidOut` can take the place of a layer: its weights are not made anew by a hook."""
    return type(layer) is torch.nn.Linear and isinstance(layer.weight, torch.nn.Parameter)


class LaidOut(torch.nn.Linear):
    """A linear layer whose weights lie as products want them; torch's own is laid out each time.

    `weight` stays, for who looks at its type; to change it changes nothing here.
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        """Take over the weights of a float32 linear layer."""
        assert isinstance(layer, torch.nn.Linear)
        bias = layer.bias is not None
        super().__init__(layer.in_features, layer.out_features, bias, device="meta")
        given = {name: value.to(torch.bfloat16) for name, value in layer.state_dict().items()}
        self.load_state_dict(given, assign=True)
        self.laid_out = _lay_out(self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """`x @ weight.T + bias`, `[..., out]`, bfloat16."""
        result: Tensor = _multiply(x, self.laid_out, self.bias, "none", [], "")
        return result
