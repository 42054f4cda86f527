"""A network in bfloat16: near its numbers in float32, and fast on CPUs that have bf16 units."""

from copy import deepcopy
from typing import TYPE_CHECKING

from backbench.features.folding import put

if TYPE_CHECKING:
    import torch


def in_bf16(module: "torch.nn.Module") -> "torch.nn.Module":
    """A copy of a float32 network that takes and gives bfloat16."""
    import torch

    from backbench.features import bf16_layers as layers

    on_cpu = all(parameter.device.type == "cpu" for parameter in module.parameters())
    laid_out = on_cpu and layers.cpu_multiplies()
    given = torch.nn.Sequential(module)  # so that the network itself has a name, too
    copy = deepcopy(given).to(torch.bfloat16)
    for name, layer in given.named_modules():
        if layers.is_depthwise(layer):
            put(copy, name, layers.InTwoParts(layer))
        elif laid_out and layers.is_plain_linear(layer):
            put(copy, name, layers.LaidOut(layer))
    return copy
