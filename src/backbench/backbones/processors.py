"""A transformers image processor as the fields of `Transform`, checked on a picture.

Processors are classes, and some do more than their fields say. The Pillow one of the library is
asked what it does, and once more with a picture whether that was all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from backbench.backbones.transform import Transform
from backbench.errors import BackboneError

FILES = ("preprocessor_config.json", "processor_config.json")
TOLERANCE = 1e-5
_PROBE = (53, 71)
_FIRST_WITH_BACKENDS = 5


def processor_of(folder: Path) -> Any:  # noqa: ANN401 - a transformers class
    """The library's processor that works with Pillow, as the published comparisons did."""
    major = int(transformers.__version__.split(".")[0])
    option: dict[str, Any] = (
        {"backend": "pil"} if major >= _FIRST_WITH_BACKENDS else {"use_fast": False}
    )
    return transformers.AutoImageProcessor.from_pretrained(str(folder), **option)


def transform_of(folder: Path, name: str) -> Transform:
    """The transform of the processor in `folder`.

    Raises:
        BackboneError: it does something that `Transform` does not.
    """
    processor = processor_of(folder)
    transform = _fields(processor, name)
    probe = _probe()
    difference = (transform(probe) - reference(processor, probe)).abs().max().item()
    if not difference <= TOLERANCE:
        raise _unsupported(name, processor, f"a test picture differs by {difference:.2g}")
    return transform


def reference(processor: Any, picture: Image.Image) -> torch.Tensor:  # noqa: ANN401
    """What the library's processor makes of a picture, float32 [3, H, W]."""
    made: torch.Tensor = processor(images=picture, return_tensors="pt")["pixel_values"][0]
    return made


def _fields(processor: Any, name: str) -> Transform:  # noqa: ANN401
    size, crop = _sides(processor.size), _sides(getattr(processor, "crop_size", None))
    if not processor.do_resize or not processor.do_rescale:
        raise _unsupported(name, processor, "it does not resize, or does not rescale")
    if "shortest_edge" in size and "longest_edge" not in size:
        resize, edge = "shortest", (size["shortest_edge"],) * 2
    elif {"height", "width"} <= size.keys():
        resize, edge = "squash", (size["height"], size["width"])
    else:
        raise _unsupported(name, processor, f"its size is {size}")
    cropped = bool(getattr(processor, "do_center_crop", False)) and crop
    if not cropped and resize == "shortest":
        raise _unsupported(name, processor, "its pictures come out in different sizes")
    out = (crop["height"], crop["width"]) if cropped else edge
    normal = bool(processor.do_normalize)
    return Transform(
        size=out,
        resize=resize,
        edge=edge,
        interpolation=Image.Resampling(int(processor.resample)).name.lower(),
        mean=_triple(processor.image_mean if normal else 0.0),
        std=_triple(processor.image_std if normal else 1.0),
        offsets="floor",
    )


def _sides(size: Any) -> dict[str, int]:  # noqa: ANN401 - dict, or a class of transformers 5
    table = size if isinstance(size, Mapping) else vars(size) if size is not None else {}
    return {key: int(value) for key, value in table.items() if value is not None}


def _triple(value: Any) -> tuple[float, float, float]:  # noqa: ANN401 - number or triple
    first, second, third = value if isinstance(value, (tuple, list)) else (value,) * 3
    return float(first), float(second), float(third)


def _probe() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (*_PROBE, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((4 * _PROBE[0], 3 * _PROBE[1]), Image.Resampling.BILINEAR)


def _unsupported(name: str, processor: Any, why: str) -> BackboneError:  # noqa: ANN401
    return BackboneError(
        f"the image processor {type(processor).__name__} of '{name}' cannot be expressed as "
        f"resize, centre crop and normalise: {why}. Use a model whose processor can."
    )
