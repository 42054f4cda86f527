"""Pictures of one run."""

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backbench.files import atomic
from backbench.leaderboard.lettering import any_script, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WRITTEN, _NAMED = 60, 50
"""Classes up to which each cell has its count; and how many names an axis has beyond that."""
_CELL, _REST = 0.55, 2.2
"""Inches of a cell with a count, and of what is around all of them."""
_SIDE, _DOTS = 16.0, 110
"""Inches of a matrix without counts, however many classes there are; dots an inch."""
_NAME, _LETTERS = 28, 9
"""Letters of a class name at most, and of a title in an inch."""


@any_script()
def confusion_picture(
    matrix: NDArray[np.float64], classes: tuple[str, ...], title: str, path: Path
) -> Path:
    """Draw a confusion matrix: colour is the share of the true class, text the count.

    Of more than 60 classes only the colours are drawn, and some of the names.

    Args:
        matrix: samples by true (rows) and predicted class `[C, C]`, mean over seeds.
        classes: names in the order of the codes.
        title: above the picture.
        path: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    written = len(classes) <= _WRITTEN
    side = _REST + (_CELL * len(classes) if written else _SIDE)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=_DOTS)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if written:
        _write_counts(axes, matrix, shares)
    _name_axes(axes, classes)
    axes.set_title(plain(fill(title, int(_LETTERS * side), max_lines=3, placeholder="…")))
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _write_counts(axes: "Axes", matrix: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(matrix).tolist():
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{matrix[row, column]:.4g}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _name_axes(axes: "Axes", classes: tuple[str, ...]) -> None:
    """Names of all classes, or of every so many."""
    step = 1 if len(classes) <= _WRITTEN else -(-len(classes) // _NAMED)
    places = range(0, len(classes), step)
    names = [_short(classes[place]) for place in places]
    turned = 90 if step > 1 else 45
    axes.set_xticks(places, names, rotation=turned if max(map(len, names)) > 3 else 0)
    axes.set_yticks(places, names)
    more = f" ({len(places)} of {len(classes)} classes are named)" if step > 1 else ""
    axes.set(xlabel=f"predicted{more}", ylabel="true")


def _short(name: str) -> str:
    return plain(name if len(name) <= _NAME else f"{name[: _NAME - 1]}…")
