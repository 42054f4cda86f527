"""Features of pictures at hand, without a file: for predicting with a model that is served."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backbench.backbones import Backbone, device
from backbench.features.forward import Forward

if TYPE_CHECKING:
    from PIL import Image


class Embedder:
    """A backbone that is ready to embed pictures, in the precision its head was trained on.

    Args:
        backbone: loaded.
        precision: `fp32` or `bf16`, as the provenance of the training features says.
    """

    def __init__(self, backbone: Backbone, precision: str = "fp32") -> None:
        self.backbone = backbone
        self._forward = Forward(backbone.module, device(), backbone.batch_size)
        self._precision = precision
        self._ready = False

    def __call__(self, pictures: "Sequence[Image.Image]") -> NDArray[np.float32]:
        """RGB pictures -> float32 `[n, D]`, the numbers that `extract` would store.

        Raises:
            FeatureError: one picture alone does not fit into memory.
        """
        import torch

        if not pictures:
            return np.empty((0, self.backbone.dim), np.float32)
        pixels = torch.stack([self.backbone.transform(picture) for picture in pictures])
        if not self._ready:
            self._forward.prepare(pixels)
            self._forward.settle(self._precision)
            self._ready = True
        return self._forward(pixels)
