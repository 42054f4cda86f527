"""Validation metrics, and choosing by them in a way that rounding cannot tip."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating]


def score(monitor: str, logits: Logits, y: NDArray[np.int64]) -> float:
    """The named validation metric, signed so that higher is better; NaN of logits not finite.

    Args:
        monitor: `val_loss`, `accuracy`, `balanced_accuracy` or `macro_f1`.
        logits: `[n, C]`.
        y: class codes `[n]`.
    """
    if monitor == "val_loss":
        return -log_loss(logits, y)
    if not np.isfinite(logits).all():
        return float("nan")
    predicted = logits.argmax(1)
    if monitor == "accuracy":
        return float((predicted == y).mean())
    return _per_class(monitor, predicted, y)


def log_loss(logits: Logits, y: NDArray[np.int64]) -> float:
    """Mean of -log softmax(logits)[y], float64; NaN of logits that are not finite."""
    if not np.isfinite(logits).all():
        return float("nan")
    z = logits.astype(np.float64)
    z = z - z.max(1, keepdims=True)
    return float((np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean())


def _per_class(monitor: str, predicted: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """Recall over the classes that occur, or F1 over those that occur or are predicted."""
    size = int(max(predicted.max(), y.max())) + 1
    right, support, called = (
        np.bincount(codes, minlength=size) for codes in (y[predicted == y], y, predicted)
    )
    recall = monitor == "balanced_accuracy"
    above, below = (right, support) if recall else (2 * right, support + called)
    return float((above[below > 0] / below[below > 0]).mean())


def first_best(scores: Sequence[float], margin: float = 1e-9) -> int:
    """Index of the first score that no later one beats by more than `margin`; NaN loses."""
    best, highest = 0, float("-inf")
    for index, value in enumerate(scores):
        if value > highest + margin:
            best, highest = index, value
    return best
