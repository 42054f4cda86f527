"""The linear probe: multinomial logistic regression by AdamW, all units in two matrix products.

For unit u with standardised features `x' = (z - mean_u) * scale_u` the loss of a batch is

    L_u = sum_i w_iu * CE(softmax(x'_iu @ W_u + b_u), t_i) / sum_i w_iu,   t_i the smoothed target.

With `V_u = scale_u * W_u` the logits of all units are `z @ [V_1 .. V_U]` less `mean_u @ V_u`, and
the gradients are `z.T @ [G_1 .. G_U]` less `mean_u` times the column sums of `G_u`, times
`scale_u`: two products for all units, and no unit's standardised features ever exist. The bias is
the weight of a column of ones.

With `bf16` both products take z, V and the residuals rounded to bfloat16; the weights that are kept
stay float32.

Source: the linear evaluation of DINOv2 (Oquab et al. 2023), many heads over one pass of features.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.files.arrays import Arrays
from backbench.heads import affine
from backbench.heads.adamw import StandardisedAdamW
from backbench.heads.descent import Cohort, Course, State, Tensor, Trained, best_of, descend
from backbench.heads.matrix import Matrix, affine_weights
from backbench.heads.residuals import residuals
from backbench.heads.settings import LinearSettings
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult

_COPIES = 6
"""Arrays of the size of the weights: V, gradient, two moments, the scale, the best epoch."""


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LinearSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    matrix = Matrix(problem.X, means.device, means.memory)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    trained = descend(
        Course(problem, settings, matrix),
        units,
        make_block=lambda cohort: _Block(cohort, matrix.width, problem.classes, dtype),
        slot_bytes=_COPIES * 4 * matrix.width * problem.classes,
        means=means,
    )
    return [_result(problem, unit, trained[unit.fold.index, unit.seed], matrix) for unit in units]


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


def _result(problem: Problem, unit: Unit, candidates: list[Trained], matrix: Matrix) -> UnitResult:
    best = best_of(candidates, unit)
    W = best.state["W"].T
    weights = affine_weights(matrix, best.mean, best.scale, W[: matrix.d], W[matrix.d])
    return UnitResult(
        unit,
        affine.of_rows(predict, weights, problem, unit.fold.test),
        affine.of_rows(predict, weights, problem, unit.fold.val),
        {"lr": best.lr, "weight_decay": best.weight_decay, "epoch": best.epoch},
        best.history,
        weights,
    )


class _Block:
    """Weights `[C, S, width]` of a cohort: columns of D features, the bias, padding."""

    def __init__(self, cohort: Cohort, width: int, classes: int, dtype: torch.dtype) -> None:
        slots, d = cohort.bench.mean.shape
        device = cohort.bench.mean.device
        W = _initial(cohort.seed, d, width, classes).to(device)[:, None].repeat(1, slots, 1)
        mean = torch.zeros((slots, width), device=device)
        scale = torch.zeros((slots, width), device=device)
        mean[:, :d] = cohort.bench.mean
        scale[:, :d], scale[:, d] = cohort.bench.scale, 1
        self.weights = StandardisedAdamW(W, mean, scale, cohort.weight_decay, dtype)

    def step(self, x: Tensor, w: Tensor, target: Tensor, lr: float) -> None:
        """One AdamW step; see `Block`."""
        V, gradient = self.weights.V, self.weights.gradient
        x = x.to(V.dtype)
        z = (V.flatten(0, 1) @ x.T).view(*V.shape[:2], len(x)).float()  # [C, S, B]
        z -= self.weights.offset[:, :, None]
        residual = torch.softmax(z, 0)
        pull = residuals(residual, target, w)
        torch.mm(residual.flatten(0, 1).to(V.dtype), x, out=gradient.flatten(0, 1))
        self.weights.step(pull, lr)

    def logits(self, slot: int, x: Tensor) -> Tensor:
        """Logits of one slot; see `Block`."""
        return self.weights.logits(slot, x)

    def state(self, slot: int) -> State:
        """A copy of one slot's weights; see `Block`."""
        return {"W": self.weights.standardised(slot).cpu().numpy()}


def _initial(seed: int, d: int, width: int, classes: int) -> Tensor:
    """As `torch.nn.Linear` begins: uniform within 1/sqrt(D); the same for all folds of a seed."""
    rng = np.random.default_rng([seed, 2**32 - 1])
    W = np.zeros((classes, width), np.float32)
    W[:, : d + 1] = rng.uniform(-1 / sqrt(d), 1 / sqrt(d), (classes, d + 1))
    return torch.from_numpy(W)
