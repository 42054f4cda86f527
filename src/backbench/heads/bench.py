"""What the folds of a block are trained with: rows, moments, weights of classes.

Both heads that descend by minibatches sit on one (see `descent`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.heads import slots
from backbench.heads.matrix import Doubles, Matrix, moments, train_mask
from backbench.heads.settings import LinearSettings, MlpSettings
from backbench.heads.unit import Problem

Settings = LinearSettings | MlpSettings
Tensor = torch.Tensor


@dataclass(frozen=True)
class Bench:
    """The folds of a block and what their training rows say.

    Attributes:
        folds: one a slot, None where no unit was asked for.
        mean, scale: of each slot's training rows, in the frame of the matrix `[S, D]`.
        trained: which rows a slot trains on `[N, S]`.
        class_weights: `[C, S]`, 0 where nobody sits.
    """

    folds: slots.Slots
    mean: Tensor
    scale: Tensor
    trained: Tensor
    class_weights: Tensor


def bench_of(problem: Problem, settings: Settings, matrix: Matrix, folds: slots.Slots) -> Bench:
    """Moments, training mask and class weights of the slots of a block; 0 where nobody sits.

    Raises:
        HeadError: class weights for another number of classes.
    """
    classes = problem.classes
    trained = train_mask(matrix.n, folds)
    fitted = moments(matrix, trained)
    weights = np.zeros((classes, len(folds)))
    for slot, fold in enumerate(folds):
        if fold is not None:
            y = problem.y[fold.train]
            weights[:, slot] = _class_weights(settings, y, classes)
    mean, scale, share = (
        torch.from_numpy(array.astype(np.float32)).to(matrix.device)
        for array in (fitted.mean, fitted.scale, weights)
    )
    return Bench(folds, mean, scale, torch.from_numpy(trained).to(matrix.device), share)


def _class_weights(settings: Settings, y: NDArray[np.int64], classes: int) -> Doubles:
    if isinstance(settings.class_weights, tuple):
        if len(settings.class_weights) != classes:
            raise HeadError(
                f"'head.class_weights' has {len(settings.class_weights)} numbers, but there are "
                f'{classes} classes; give one a class, "auto" or "none".'
            )
        return np.array(settings.class_weights)
    if settings.class_weights == "none":
        return np.ones(classes)
    count = np.bincount(y, minlength=classes)
    present = (count > 0).sum()
    return np.where(count > 0, len(y) / (present * np.maximum(count, 1)), 0.0)
