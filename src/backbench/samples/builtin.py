"""Sample sets that need no files."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from backbench.samples.samples import Samples
from backbench.samples.source import ArraySource


def digits() -> Samples:
    """The 1,797 handwritten digits of scikit-learn, 8 x 8, 10 classes, each its own group."""
    from sklearn.datasets import load_digits

    data = load_digits()
    ids = [f"digit-{i:04d}" for i in range(len(data.target))]
    frame = pd.DataFrame(
        {"sample_id": ids, "label": data.target.astype(str), "group": ids, "split": "", "path": ""}
    )
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return Samples("digits", frame, ArraySource(pixels))


BUILT_IN: Mapping[str, Callable[[], Samples]] = {"digits": digits}
