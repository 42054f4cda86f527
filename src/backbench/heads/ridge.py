"""Ridge regression onto +1/-1 targets, exact, for all folds and penalties from one decomposition.

On the training rows of a fold, centred and divided by their root mean square deviation over all
columns (`scale = "one"`) or by that of each column (`scale = "columns"`), the head minimises

    sum_i ||x'_i @ W + b - t_i||^2 + lambda ||W||^2,   t_i = +1 for the label's class, else -1.

Let `A = Q diag(s) Q^T` be the Gram matrix of all rows, centred. Leaving rows H out and moving the
mean takes h + 1 outer products away, `A_f = A - E^T E` with `E` the rows of H and sqrt(n) times the
mean of the rest, so with `d = 1 / (s + lambda)` and everything in the basis Q (Woodbury)

    (A_f + lambda)^-1 B = d B + d E^T (1 - E d E^T)^-1 E d B:

a system of the size of what is left out, for every penalty. Where that is too large, or every
column has its own scale, the Gram matrix of the fold is decomposed instead, still made from the
one of all rows. All of it is float64.

Decision values are turned into logits by one factor per fold, which makes the log loss of the
validation rows (of the training rows, where there are none) least (temperature scaling, Guo et al.
2017). Seeds play no part. Sources: Rifkin & Lippert 2007 (leave-out by one decomposition); Hastie,
Tibshirani & Friedman 2009, 3.4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from backbench.files.arrays import Arrays
from backbench.folds import Fold
from backbench.heads import affine
from backbench.heads.choose import first_best, score
from backbench.heads.matrix import Matrix
from backbench.heads.settings import RidgeSettings, values
from backbench.heads.threads import each, using
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation

_NOTHING = 1e-12
"""Directions with less than this share of the largest variance are rounding."""
_SHARPEST, _FLATTEST = 30.0, 0.1
"""Bounds of the factor from decision values to logits."""

Tensor = torch.Tensor


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: RidgeSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Train all units, once a fold; see `backbench.heads.train`."""
    if len(values(settings.lambdas)) > 1:
        need_validation(units, "the penalty", "give one head.lambdas")
    folds = list({unit.fold.index: unit.fold for unit in units}.values())
    means.expect(len(folds))
    with using(means.workers):
        gram = _Gram(problem, Matrix(problem.X, means.device, means.memory, copy=False))
        if any(_is_small(fold, gram.matrix, settings) for fold in folds):
            gram.decompose()

    def fit(fold: Fold) -> tuple[Any, ...]:
        result = _fit(problem, fold, settings, gram)
        means.advance(1)
        return result

    size = 8 * gram.matrix.d * (4 * gram.matrix.d + gram.matrix.block_rows)
    fitted = each(fit, folds, workers=means.at_once(size))
    done = {fold.index: result for fold, result in zip(folds, fitted, strict=True)}
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


class _Gram:
    """Sums over all rows, about their mean: `A [D, D]`, `B [D, C]` with targets, `s`, `Q`."""

    def __init__(self, problem: Problem, matrix: Matrix) -> None:
        self.problem, self.matrix = problem, matrix
        self.targets = 2 * torch.eye(problem.classes, dtype=torch.float64) - 1
        self.targets = self.targets.to(matrix.device)
        self.spread = torch.from_numpy(matrix.spread).to(matrix.device)
        d = matrix.d
        self.A = torch.zeros((d, d), dtype=torch.float64, device=matrix.device)
        self.B = torch.zeros((d, problem.classes), dtype=torch.float64, device=matrix.device)
        for part in matrix.parts(matrix.n):
            x, t = self.rows(part)
            self.A.addmm_(x.T, x)
            self.B.addmm_(x.T, t)
        self.s, self.Q = torch.zeros(0), torch.zeros(0)

    def rows(self, rows: NDArray[np.int64] | slice) -> tuple[Tensor, Tensor]:
        """Centred features `[n, D]` and targets `[n, C]`, float64."""
        z = self.matrix.take(rows, torch.float64)[:, : self.matrix.d] * self.spread
        return z, self.targets[torch.from_numpy(self.problem.y[rows]).to(z.device)]

    def decompose(self) -> None:
        """Find the eigenvalues `s [K]` and eigenvectors `Q [D, K]` of A that are not rounding."""
        s, Q = torch.linalg.eigh(self.A)
        real = s > _NOTHING * s[-1]
        self.s, self.Q = s[real], Q[:, real]


@dataclass(frozen=True)
class _Rest:
    """The training rows of a fold, made by taking the others away from all rows.

    Attributes:
        B: `[D, C]`, centred features times targets.
        mean, target: of the features `[D]` and of the targets `[C]`.
        scale: `[D]`, what centred columns are multiplied with; 0 where constant.
        E: `[h + 1, D]` with `A_f = A - E.T @ E`, where that is small, else
        A: `A_f`, `[D, D]`.
    """

    B: Tensor
    mean: Tensor
    target: Tensor
    scale: Tensor
    E: Tensor | None
    A: Tensor | None


def _rest(gram: _Gram, fold: Fold, settings: RidgeSettings) -> _Rest:
    n, y = len(fold.train), gram.problem.y
    held_out = np.setdiff1d(np.arange(gram.matrix.n), fold.train)
    small = _is_small(fold, gram.matrix, settings)
    total, B = torch.zeros_like(gram.spread), gram.B.clone()
    square = gram.A.diagonal().clone()
    A, parts = None if small else gram.A.clone(), []
    for part in gram.matrix.parts(len(held_out)):
        x, t = gram.rows(held_out[part])
        total += x.sum(0)
        square -= (x * x).sum(0)
        B.addmm_(x.T, t, alpha=-1)
        if A is None:
            parts.append(x)
        else:
            A.addmm_(x.T, x, alpha=-1)
    mean = -total / n
    count = np.bincount(y[fold.train], minlength=gram.problem.classes)
    target = torch.from_numpy(count).to(B) @ gram.targets / n
    B -= n * torch.outer(mean, target)
    if A is not None:
        A -= n * torch.outer(mean, mean)
    E = torch.cat([*parts, n**0.5 * mean[None]]) if small else None
    std = (square / n - mean * mean).clamp_min(0).sqrt()
    return _Rest(B, mean, target, _scale(gram, std, mean, settings), E, A)


def _is_small(fold: Fold, matrix: Matrix, settings: RidgeSettings) -> bool:
    """Whether systems of what is left out, for every penalty, are less work than decomposing."""
    size, d = matrix.n - len(fold.train) + 1, matrix.d
    solved = size * size * len(values(settings.lambdas))
    return settings.scale == "one" and size <= d and solved <= 8 * d * d


def _scale(gram: _Gram, std: Tensor, mean: Tensor, settings: RidgeSettings) -> Tensor:
    size = torch.from_numpy(gram.matrix.centre).to(mean) + mean
    varies = (std > 1e-7 * size.abs()) & (std > 1e-6 * gram.spread)
    if settings.scale == "one":
        std = std.square().mean().sqrt().expand_as(std)
    return torch.where(varies & (std > 0), 1 / std, 0.0)


def _fit(problem: Problem, fold: Fold, settings: RidgeSettings, gram: _Gram) -> tuple[Any, ...]:
    """What a `UnitResult` has after its unit."""
    lambdas = values(settings.lambdas)
    rest = _rest(gram, fold, settings)
    candidates = _small(gram, rest, lambdas) if rest.A is None else _large(rest, lambdas)
    scores = [0.0] * len(lambdas)
    if len(lambdas) > 1:
        decisions = [_decide(gram, rest, W, fold.val) for W in candidates]
        scores = [score(settings.monitor, z, problem.y[fold.val]) for z in decisions]
    best = first_best(scores)
    W, judge = candidates[best], fold.val if fold.val.size else fold.train
    factor = _factor(_decide(gram, rest, W, judge), problem.y[judge])
    weights = {
        "mean": gram.matrix.centre + rest.mean.cpu().numpy(),
        "scale": rest.scale.cpu().numpy(),
        "weight": (factor * W).cpu().numpy(),
        "bias": (factor * rest.target).cpu().numpy(),
    }
    history = {"lambda": list(lambdas), f"val_{settings.monitor}": scores}
    return (
        affine.of_rows(predict, weights, problem, fold.test),
        affine.of_rows(predict, weights, problem, fold.val),
        {"lambda": lambdas[best], "factor": factor},
        history if len(lambdas) > 1 else {},
        weights,
    )


def _small(gram: _Gram, rest: _Rest, lambdas: tuple[float, ...]) -> list[Tensor]:
    """`W [D, C]` for each penalty, by systems of the size of what is left out."""
    assert rest.E is not None
    s, Q = gram.s, gram.Q
    E, B = rest.E @ Q, Q.T @ rest.B
    one = torch.eye(len(E), dtype=E.dtype, device=E.device)
    unit = rest.scale.amax().clamp_min(1e-300)
    found = []
    for penalty in lambdas:
        d = 1 / (s + penalty / unit**2)
        Ed, dB = E * d, d[:, None] * B
        system = torch.linalg.cholesky(one - Ed @ E.T)
        V = dB + Ed.T @ torch.cholesky_solve(E @ dB, system)
        found.append(Q @ V / unit)
    return found


def _large(rest: _Rest, lambdas: tuple[float, ...]) -> list[Tensor]:
    """`W [D, C]` for each penalty, by decomposing the Gram matrix of the fold."""
    assert rest.A is not None
    s, Q = torch.linalg.eigh(rest.scale[:, None] * rest.A * rest.scale)
    B = Q.T @ (rest.scale[:, None] * rest.B)
    return [Q @ (B / (s.clamp_min(0) + penalty)[:, None]) for penalty in lambdas]


def _decide(gram: _Gram, rest: _Rest, W: Tensor, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Decision values `[n, C]`."""
    decisions = np.empty((len(rows), gram.problem.classes))
    for part in gram.matrix.parts(len(rows)):
        x = (gram.rows(rows[part])[0] - rest.mean) * rest.scale
        decisions[part] = (x @ W + rest.target).cpu().numpy()
    return decisions


def _factor(decisions: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """The f for which softmax(f * decisions) has the least log loss, within bounds."""

    def slope(f: float) -> float:
        expected = (softmax(f * decisions, axis=1) * decisions).sum(1)
        return float((expected - decisions[np.arange(len(y)), y]).mean())

    if slope(_SHARPEST) <= 0:
        return _SHARPEST
    if slope(_FLATTEST) >= 0:
        return _FLATTEST
    return float(brentq(slope, _FLATTEST, _SHARPEST, xtol=1e-13, rtol=1e-14))
