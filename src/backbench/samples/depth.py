"""Pictures of more than 8 bits a value as 8-bit grey, or refused where their scale is not known.

Pillow's own conversion cuts values above 255 off: 16 bits become white, 0..1 becomes black.
"""

import numpy as np
from PIL import Image

from backbench.errors import SampleError

_TIFF_BITS = 258
_INTEGERS_OF_16_BITS = frozenset({"PNG", "PPM"})
"""Where Pillow holds 16 bits as 32-bit integers; elsewhere those have 32 bits, or a sign."""
_CURE = "save it with 8 bits a value, scaled as you want it seen, or as unsigned 16-bit integers"


def to_8_bits(picture: Image.Image) -> Image.Image:
    """Grey of 9 to 16 bits, or of floats from 0 to 1, as mode `L`, rounded; others as they are.

    Args:
        picture: as `Image.open` gives it, so that its file can be asked for the depth.

    Raises:
        SampleError: floats outside 0..1, NaN, 32-bit or signed integers: their black and white are
            not known.
    """
    if picture.mode.startswith("I;16"):
        return _scaled(picture, 2 ** _bits(picture) - 1)
    if picture.mode == "I":
        if picture.format not in _INTEGERS_OF_16_BITS:
            raise SampleError(
                f"its values are 32-bit or signed integers of no known scale; {_CURE}."
            )
        return _scaled(picture, 2**16 - 1)
    return _scaled(picture, 1) if picture.mode == "F" else picture


def _scaled(picture: Image.Image, white: int) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    if not ((values >= 0) & (values <= white)).all():
        raise SampleError(
            f"its values are {values.min():g} to {values.max():g}, where 0 is black and {white} "
            f"white; {_CURE}."
        )
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def _bits(picture: Image.Image) -> int:
    """Of a value: as a TIFF says, else 16."""
    tags = getattr(picture, "tag_v2", {})
    return int(tags.get(_TIFF_BITS, (16,))[0])
