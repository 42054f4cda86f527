"""Multinomial logistic regression with an L2 penalty, to tolerance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from backbench.folds import Fold
from backbench.heads import affine
from backbench.heads.choose import first_best, score
from backbench.heads.matrix import Matrix, affine_weights, fold_moments
from backbench.heads.settings import LogregSettings, values
from backbench.heads.unit import Floats, Problem, Progress, Unit, UnitResult, need_validation


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LogregSettings,
    *,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    if len(values(settings.C)) > 1:
        need_validation(units, "C", "give one head.C")
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


def _fit(problem: Problem, fold: Fold, settings: LogregSettings, matrix: Matrix) -> Any:
    moments = fold_moments(matrix, [fold])
    frame = affine_weights(matrix, moments.mean[0], moments.scale[0], np.zeros((1, 1)), np.zeros(1))
    Z = affine.standardised_rows(frame, problem.X[fold.train])
    y = problem.y[fold.train]
    candidates = []
    for C in values(settings.C):
        model = LogisticRegression(C=C, max_iter=10000, tol=1e-6).fit(Z, y)
        W = np.zeros((matrix.d, problem.classes))
        b = np.full(problem.classes, -30.0)
        coef, inter = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            coef, inter = np.vstack([-coef, coef]) / 2, np.concatenate([-inter, inter]) / 2
        W[:, model.classes_] = coef.T
        b[model.classes_] = inter
        candidates.append(frame | {"weight": W, "bias": b})
    scores = [
        score(settings.monitor, affine.predict(w, problem.X[fold.val]), problem.y[fold.val])
        if len(candidates) > 1
        else 0.0
        for w in candidates
    ]
    best = first_best(scores)
    weights = candidates[best]
    return (
        affine.predict(weights, problem.X[fold.test]),
        affine.predict(weights, problem.X[fold.val]),
        {"C": values(settings.C)[best]},
        {},
        weights,
    )
