"""Pictures of one run."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backbench.files import atomic


def confusion_picture(
    matrix: NDArray[np.float64], classes: tuple[str, ...], title: str, path: Path
) -> Path:
    """Draw a confusion matrix: colour is the share of the true class, text the count.

    Args:
        matrix: samples by true (rows) and predicted class `[C, C]`, mean over seeds.
        classes: names in the order of the codes.
        title: above the picture.
        path: the PNG to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.55 * len(classes)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=110)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column]:
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{matrix[row, column]:.4g}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    long = max(map(len, classes)) > 3
    axes.set_xticks(range(len(classes)), classes, rotation=45 if long else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
