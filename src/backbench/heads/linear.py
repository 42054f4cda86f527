"""The linear probe: multinomial logistic regression by AdamW, all units in two matrix products.

For unit u with standardised features `x' = (z - mean_u) * scale_u` the loss of a batch is

    L_u = sum_i w_iu * CE(softmax(x'_iu @ W_u + b_u), t_i) / sum_i w_iu,   t_i the smoothed target.

With `V_u = scale_u * W_u` the logits of all units are `z @ [V_1 .. V_U]` less `mean_u @ V_u`, and
the gradients are `z.T @ [G_1 .. G_U]` less `mean_u` times the column sums of `G_u`, times
`scale_u`: two products for all units, and no unit's standardised features ever exist. The bias is
the weight of a column of ones.

Source: the linear evaluation of DINOv2 (Oquab et al. 2023), many heads over one pass of features;
AdamW is Loshchilov & Hutter 2019 as in torch, which decays the bias like any weight.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.adamw import adamw

from backbench.heads import affine
from backbench.heads.choose import first_best
from backbench.heads.descent import Cohort, Course, State, Tensor, Trained, descend
from backbench.heads.matrix import Matrix, affine_weights
from backbench.heads.settings import LinearSettings
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult

_COPIES = 7
"""Arrays of the size of the weights: W, V, gradient, two moments, the scale, the best epoch."""


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LinearSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    matrix = Matrix(problem.X, means.device, means.memory)
    trained = descend(
        Course(problem, settings, matrix),
        units,
        make_block=lambda cohort: _Block(cohort, matrix.width, problem.classes),
        slot_bytes=_COPIES * 4 * matrix.width * problem.classes,
        means=means,
    )
    return [_result(problem, unit, trained[unit.fold.index, unit.seed], matrix) for unit in units]


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


def _result(problem: Problem, unit: Unit, candidates: list[Trained], matrix: Matrix) -> UnitResult:
    best = candidates[first_best([candidate.score for candidate in candidates])]
    W = best.state["W"].T
    weights = affine_weights(matrix, best.mean, best.scale, W[: matrix.d], W[matrix.d])
    return UnitResult(
        unit,
        affine.predict(weights, problem.X[unit.fold.test]),
        affine.predict(weights, problem.X[unit.fold.val]),
        {"lr": best.lr, "weight_decay": best.weight_decay, "epoch": best.epoch},
        best.history,
        weights,
    )


class _Block:
    """Weights `[C, S, width]` of a cohort: columns of D features, the bias, padding."""

    def __init__(self, cohort: Cohort, width: int, classes: int) -> None:
        slots, d = cohort.bench.mean.shape
        device = cohort.bench.mean.device
        initial = _initial(cohort.seed, d, width, classes).to(device)
        self.W = initial[:, None].repeat(1, slots, 1)
        self.V, self.gradient = torch.zeros_like(self.W), torch.zeros_like(self.W)
        self.first, self.second = torch.zeros_like(self.W), torch.zeros_like(self.W)
        self.steps, self.weight_decay = torch.zeros((), device=device), cohort.weight_decay
        self.mean = torch.zeros((slots, width), device=device)
        self.scale = torch.zeros((slots, width), device=device)
        self.mean[:, :d] = cohort.bench.mean
        self.scale[:, :d], self.scale[:, d] = cohort.bench.scale, 1

    def step(self, x: Tensor, w: Tensor, target: Tensor, lr: float) -> None:
        """One AdamW step; see `Block`."""
        torch.mul(self.W, self.scale, out=self.V)
        z = (x @ self.V.flatten(0, 1).T).view(len(x), *self.V.shape[:2])
        z -= (self.V * self.mean).sum(-1)
        residual = torch.softmax(z, 1).sub_(target[:, :, None]).mul_(w[:, None])
        torch.mm(residual.flatten(1).T, x, out=self.gradient.flatten(0, 1))
        self.gradient.addcmul_(residual.sum(0)[:, :, None], self.mean, value=-1).mul_(self.scale)
        self._adamw(lr)

    def _adamw(self, lr: float) -> None:
        """As `torch.optim.AdamW`, without what that does around every step."""
        adamw(
            [self.W],
            [self.gradient],
            [self.first],
            [self.second],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def logits(self, slot: int, x: Tensor) -> Tensor:
        """Logits of one slot; see `Block`."""
        return (x - self.mean[slot]) @ (self.W[:, slot] * self.scale[slot]).T

    def state(self, slot: int) -> State:
        """A copy of one slot's weights; see `Block`."""
        return {"W": self.W[:, slot].cpu().numpy().copy()}


def _initial(seed: int, d: int, width: int, classes: int) -> Tensor:
    """As `torch.nn.Linear` begins: uniform within 1/sqrt(D); the same for all folds of a seed."""
    rng = np.random.default_rng([seed, 2**32 - 1])
    W = np.zeros((classes, width), np.float32)
    W[:, : d + 1] = rng.uniform(-1 / sqrt(d), 1 / sqrt(d), (classes, d + 1))
    return torch.from_numpy(W)
