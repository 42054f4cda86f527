"""Backbones: a table of rows, strict loading, and the identity of the vector space each gives.

`load_backbone` gives a network and its transform; `identify` only says which space it is, and is
cheap once a machine has seen the weights. Nothing here imports torch until a network is built.
"""

from backbench.backbones.device import device, supports_bf16
from backbench.backbones.identity import Identity
from backbench.backbones.load import Backbone, bring, identify, load_backbone, prefetch
from backbench.backbones.names import called, parse_backbone, spelled
from backbench.backbones.table import BACKBONES, OPEN_FORMS, Row, find
from backbench.backbones.transform import Transform

__all__ = [
    "BACKBONES",
    "OPEN_FORMS",
    "Backbone",
    "Identity",
    "Row",
    "Transform",
    "bring",
    "called",
    "device",
    "find",
    "identify",
    "load_backbone",
    "parse_backbone",
    "prefetch",
    "spelled",
    "supports_bf16",
]
