"""The floor of every board: the same architecture with seeded random weights.

The numbers come from integers by exact floating-point steps, not from a library's initialiser,
so that they are the same on every machine and with every version of torch and timm.
"""

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from backbench.backbones.checkpoints import Weights

if TYPE_CHECKING:
    import torch

SEED = 20_260_101


def weights_for(module: "torch.nn.Module") -> Weights:
    """Random weights for every tensor of `module`'s state dict.

    Matrices and kernels are uniform with the variance of He et al. 2015 (2 / fan-in), scales are
    one, biases zero, other vectors (class tokens, positions) uniform with standard deviation 0.02;
    buffers (running means and variances, counters) stay as the module made them.
    """
    parameters = {name for name, _ in module.named_parameters()}
    state = {
        name: _drawn(name, tensor) if name in parameters else tensor.detach().clone()
        for name, tensor in module.state_dict().items()
    }
    return Weights(state, "untrained", {"untrained_seed": SEED})


def _drawn(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    shape = tuple(tensor.shape)
    leaf = name.rpartition(".")[2]
    if len(shape) <= 1 and leaf in ("weight", "gamma", "lambda1"):
        return torch.ones(shape)
    if leaf in ("bias", "beta"):
        return torch.zeros(shape)
    matrix = leaf == "weight" and len(shape) > 1
    spread = math.sqrt(2 / math.prod(shape[1:])) if matrix else 0.02
    return torch.from_numpy(_uniform(name, shape, spread))


def _uniform(
    name: str, shape: tuple[int, ...], spread: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Uniform around zero with standard deviation `spread`, float32; one stream a name."""
    seed = int.from_bytes(hashlib.sha256(f"{SEED}/{name}".encode()).digest()[:8])
    drawn = np.random.Generator(np.random.PCG64(seed)).random(shape)
    return ((drawn * 2 - 1) * (spread * math.sqrt(3))).astype(np.float32)
