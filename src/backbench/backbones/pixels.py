"""The picture itself as its vector: the baseline that every backbone has to beat.

Pictures are resized to a square with a box filter (the mean of the pixels covered, and exact
repetition where a picture is smaller) and flattened, values 0 to 1. The default is 32 x 32 in
grey, 1,024 numbers: the size at which people still recognise scenes (Torralba et al. 2008).
`checkpoint=rgb-32`, `gray-8` and so on say other sizes and colour.
"""

import re

import torch

from backbench.backbones.assembly import Assembly, Wanted
from backbench.backbones.identity import config_digest
from backbench.backbones.table import VECTORS, Row
from backbench.backbones.transform import Transform
from backbench.errors import BackboneError

DEFAULT = "gray-32"
_FORM = re.compile(r"(gray|rgb)-([1-9]\d{0,2})")
_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as in Pillow's `convert("L")`."""


class Pixels(torch.nn.Module):
    """[B, 3, S, S] -> [B, S * S] in grey, or [B, 3 * S * S] in colour."""

    def __init__(self, *, gray: bool) -> None:
        super().__init__()
        self.gray = gray

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Flatten; grey is the luma of the three channels."""
        if not self.gray:
            return pictures.flatten(1)
        red, green, blue = pictures.unbind(1)
        return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).flatten(1)


def parse(checkpoint: str) -> tuple[str, int]:
    """Colour and side of `gray-32`, `rgb-16`, ...

    Raises:
        BackboneError: the form is another.
    """
    match = _FORM.fullmatch(DEFAULT if checkpoint == "default" else checkpoint)
    if not match:
        raise BackboneError(
            f"unknown checkpoint '{checkpoint}' of pixels. Allowed: default ({DEFAULT}), "
            "gray-<side> or rgb-<side> with a side of 1 to 999."
        )
    return match[1], int(match[2])


def bring(_row: Row, wanted: Wanted) -> None:
    """There are no files; the checkpoint has to be of the form."""
    parse(wanted.checkpoint)


def assemble(_row: Row, wanted: Wanted) -> Assembly:
    """The resized picture, flattened."""
    colour, side = parse(wanted.checkpoint)
    return Assembly(
        module=Pixels(gray=colour == "gray"),
        weights=None,
        vector=VECTORS["pixels"],
        transform=Transform(
            size=(side, side),
            resize="squash",
            edge=(side, side),
            interpolation="box",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        ),
        config=config_digest({"colour": colour, "luma": _LUMA if colour == "gray" else None}),
    )
