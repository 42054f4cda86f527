"""From a picture to a tensor: one transform for every backbone, built from recorded fields.

The libraries each bring their own transform objects, some of them torchvision-on-tensors, which
resamples differently from Pillow. The published comparisons were made with Pillow, so this class
always resizes with Pillow; tests hold it equal to each library's own Pillow pipeline.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from backbench.errors import BackboneError

if TYPE_CHECKING:
    import torch

RESIZES = ("shortest", "longest", "squash")
OFFSETS = ("round", "floor")
DEPTH = "scaled to 8 bits"
"""What happens to values of more bits; they used to be cut off at 255, which is another space."""


@dataclass(frozen=True)
class Transform:
    """Resize, centre crop (padding where the picture is smaller), scale to 0..1, normalise.

    Attributes:
        size: height and width of the result.
        resize: `shortest` keeps the ratio and fits the shorter edge to `edge`, `longest` the
            longer one, `squash` ignores the ratio.
        edge: height and width the picture is resized to before the crop.
        interpolation: a Pillow filter in lower case.
        mean, std: per channel, on the 0..1 scale.
        offsets: where an odd margin goes: `round` (torchvision, half to even) or `floor`
            (transformers).
        fill: RGB colour of padding, 0..255.
    """

    size: tuple[int, int]
    resize: str
    edge: tuple[int, int]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    offsets: str = "round"
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.resize not in RESIZES or self.offsets not in OFFSETS:
            raise BackboneError(
                f"a transform resizes by one of {', '.join(RESIZES)} with offsets of one of "
                f"{', '.join(OFFSETS)}; got '{self.resize}' and '{self.offsets}'."
            )
        if not hasattr(Image.Resampling, self.interpolation.upper()):
            raise BackboneError(
                f"a transform has no interpolation '{self.interpolation}'. Allowed: "
                f"{', '.join(sorted(kind.name.lower() for kind in Image.Resampling))}."
            )

    def __call__(self, picture: Image.Image) -> "torch.Tensor":
        """An RGB picture (others are converted) -> float32 [3, H, W]."""
        import torch

        if picture.mode != "RGB":
            picture = picture.convert("RGB")
        pixels = np.array(self._crop(self._resize(picture)), copy=True)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255)
        if self.mean == (0.0, 0.0, 0.0) and self.std == (1.0, 1.0, 1.0):
            return tensor
        mean, std = (torch.tensor(row)[:, None, None] for row in (self.mean, self.std))
        return tensor.sub_(mean).div_(std)

    def fields(self) -> dict[str, Any]:
        """Everything that decides the numbers, ready for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        } | {"resampler": "pillow", "depth": DEPTH}

    def _resize(self, picture: Image.Image) -> Image.Image:
        target = self._target(*picture.size)
        if target == picture.size:
            return picture
        return picture.resize(target, Image.Resampling[self.interpolation.upper()])

    def _target(self, width: int, height: int) -> tuple[int, int]:
        edge_height, edge_width = self.edge
        if self.resize == "squash":
            return edge_width, edge_height
        if self.resize == "shortest" and edge_height == edge_width:
            # int() after one division, as torchvision and transformers do; rounding differs.
            if width <= height:
                return edge_width, int(edge_width * height / width)
            return int(edge_height * width / height), edge_height
        ratios = height / edge_height, width / edge_width
        ratio = max(ratios) if self.resize == "longest" else min(ratios)
        # A picture that is next to a line keeps one pixel of its shorter edge.
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def _crop(self, picture: Image.Image) -> Image.Image:
        height, width = self.size
        if picture.size == (width, height):
            return picture
        if picture.width < width or picture.height < height:
            picture = self._padded(picture)
        left = self._offset(picture.width - width)
        top = self._offset(picture.height - height)
        return picture.crop((left, top, left + width, top + height))

    def _padded(self, picture: Image.Image) -> Image.Image:
        height, width = self.size
        canvas = (max(width, picture.width), max(height, picture.height))
        padded = Image.new("RGB", canvas, self.fill)
        left, top = (canvas[0] - picture.width) // 2, (canvas[1] - picture.height) // 2
        padded.paste(picture, (left, top))
        return padded

    def _offset(self, margin: int) -> int:
        return round(margin / 2) if self.offsets == "round" else margin // 2
