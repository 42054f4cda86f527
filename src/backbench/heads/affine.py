"""Logits of a standardised linear map, as every linear head stores and applies it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.files.arrays import Arrays
from backbench.heads.unit import Floats, Problem

ROWS = 4096


def standardised_rows(weights: Arrays, X: Floats) -> NDArray[np.float64]:
    """`(x - mean) * scale` of features `[n, D]`, float64.

    Raises:
        HeadError: features of another width than the weights.
    """
    if X.ndim != 2 or X.shape[1] != weights["mean"].shape[0]:
        raise HeadError(
            f"features of shape {X.shape} do not fit a head trained on {weights['mean'].shape[0]} "
            "columns; use the features of the same backbone and checkpoint."
        )
    standardised: NDArray[np.float64] = (X.astype(np.float64) - weights["mean"]) * weights["scale"]
    return standardised


def product(rows: NDArray[np.float64], weight: NDArray[Any]) -> NDArray[np.float64]:
    """`rows @ weight`, float64, by torch: it keeps to the threads that training gave it."""
    wide = torch.from_numpy(np.ascontiguousarray(weight, np.float64))
    result: NDArray[np.float64] = (torch.from_numpy(rows) @ wide).numpy()
    return result


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """`((x - mean) * scale) @ weight + bias` in float64, block by block, as float32 `[n, C]`.

    Args:
        weights: `mean` and `scale` `[D]`, `weight` `[D, C]`, `bias` `[C]`.
        X: features `[n, D]`.
    """
    logits = np.empty((X.shape[0], weights["bias"].shape[0]), np.float32)
    for start in range(0, max(X.shape[0], 1), ROWS):
        rows = slice(start, start + ROWS)
        logits[rows] = (
            product(standardised_rows(weights, X[rows]), weights["weight"]) + weights["bias"]
        )
    return logits


def of_rows(
    predict: Callable[[Arrays, Floats], NDArray[np.float32]],
    weights: Arrays,
    problem: Problem,
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """`predict` of some rows of the features `[n, C]`, without a copy of all of these rows."""
    # Allocated first: small results left between large blocks would keep those from being reused.
    logits = np.empty((len(rows), problem.classes), np.float32)
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        logits[part] = predict(weights, problem.X[rows[part]])
    return logits
