"""Ridge regression onto +1/-1 targets, exact for every penalty, fold by fold from one Gram matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar

from backbench.folds import Fold
from backbench.heads import affine
from backbench.heads.choose import first_best, log_loss, score
from backbench.heads.matrix import Matrix, affine_weights, fold_moments
from backbench.heads.settings import RidgeSettings, values
from backbench.heads.unit import Floats, Problem, Progress, Unit, UnitResult, need_validation


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: RidgeSettings,
    *,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    lambdas = values(settings.lambdas)
    if len(lambdas) > 1:
        need_validation(units, "the penalty", "give one head.lambdas")
    matrix = Matrix(problem.X, device, memory_budget)
    folds = {unit.fold.index: unit.fold for unit in units}
    done = {}
    for number, fold in enumerate(folds.values()):
        done[fold.index] = _fit(problem, fold, settings, matrix)
        progress(number + 1, len(folds))
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


def _fit(problem: Problem, fold: Fold, settings: RidgeSettings, matrix: Matrix) -> Any:
    moments = fold_moments(matrix, [fold])
    frame = affine_weights(matrix, moments.mean[0], moments.scale[0], np.zeros((1, 1)), np.zeros(1))
    Z = affine.standardised_rows(frame, problem.X[fold.train])
    Y = 2 * np.eye(problem.classes)[problem.y[fold.train]] - 1
    bias = Y.mean(0)
    s, Q = eigh(Z.T @ Z)
    B = Q.T @ (Z.T @ (Y - bias))
    val = affine.standardised_rows(frame, problem.X[fold.val]) @ Q
    Ws = [B / (s[:, None] + lam) for lam in values(settings.lambdas)]
    scores = [
        score(settings.monitor, val @ W + bias, problem.y[fold.val]) if len(Ws) > 1 else 0.0
        for W in Ws
    ]
    best = first_best(scores)
    W = Q @ Ws[best]
    rows, y = (val @ Ws[best], problem.y[fold.val]) if len(val) else (Z @ W, problem.y[fold.train])
    t = float(
        np.exp(
            minimize_scalar(
                lambda t: log_loss(np.exp(t) * (rows + bias), y), bounds=(-3, 5), method="bounded"
            ).x
        )
    )
    weights = frame | {"weight": t * W, "bias": t * bias}
    return (
        affine.predict(weights, problem.X[fold.test]),
        affine.predict(weights, problem.X[fold.val]),
        {"lambda": values(settings.lambdas)[best], "temperature": 1 / t},
        {},
        weights,
    )
