"""How a backbone with its checkpoint is asked for, and what people call it."""

import re
from pathlib import PurePath

from backbench.errors import BackboneError

_SPEC = re.compile(r"((?>[^=?]+(?:\?[^=]*=?[^=]*)?))(?:=(.+))?", re.DOTALL)
"""A name, with the `?pool=...` of an open form where it has one, and what follows the next `=`."""


def called(backbone: str, checkpoint: str) -> str:
    """What people call it: `clip`, or `clip finetuned.pt` where the checkpoint is not the usual."""
    return backbone if checkpoint == "default" else f"{backbone} {PurePath(checkpoint).name}"


def spelled(backbone: str, checkpoint: str) -> str:
    """As it is asked for: `clip`, or `clip=models/finetuned.pt`."""
    return backbone if checkpoint == "default" else f"{backbone}={checkpoint}"


def parse_backbone(spec: str) -> tuple[str, str]:
    """Backbone and checkpoint of `backbone` or `backbone=checkpoint`; undoes `spelled`.

    Raises:
        BackboneError: empty on either side of the `=`.
    """
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        raise BackboneError(
            f"'{spec}' is not a backbone; give 'clip' or 'clip=path/to/weights.pt'."
        )
    return parts[1], parts[2] or "default"
