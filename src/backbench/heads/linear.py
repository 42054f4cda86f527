"""The linear probe: multinomial logistic regression by AdamW, all units in two matrix products.

For unit u with standardised features `x' = (z - mean_u) * scale_u` the loss of a batch is

    L_u = sum_i w_iu * CE(softmax(x'_iu @ W_u + b_u), t_i) / sum_i w_iu,   t_i the smoothed target.

With `V_u = scale_u * W_u` the logits of all units are `z @ [V_1 .. V_U]` less `mean_u @ V_u`, and
the gradients are `z.T @ [G_1 .. G_U]` less `mean_u` times the column sums of `G_u`, times
`scale_u`: two products for all units, and no unit's standardised features ever exist. The means
ride along as extra rows of the batch. The bias is the weight of a column of ones.

Source: the linear evaluation of DINOv2 (Oquab et al. 2023), many heads over one pass of features;
AdamW is Loshchilov & Hutter 2019 as in torch, which decays the bias like any weight.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.heads import affine
from backbench.heads.choose import first_best
from backbench.heads.descent import Cohort, State, Trained, descend
from backbench.heads.matrix import Matrix, affine_weights
from backbench.heads.settings import LinearSettings
from backbench.heads.unit import Floats, Problem, Progress, Unit, UnitResult

_COPIES = 7
"""Arrays of the size of the weights: W, V, gradient, two moments, the scale, the best epoch."""


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LinearSettings,
    *,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    matrix = Matrix(problem.X, device, memory_budget)
    trained = descend(
        problem,
        units,
        settings,
        matrix=matrix,
        make_block=lambda cohort: _Block(cohort, matrix.width, problem.classes),
        slot_bytes=_COPIES * 4 * matrix.width * problem.classes,
        memory_budget=memory_budget,
        progress=progress,
    )
    return [_result(problem, unit, trained[unit.fold.index, unit.seed], matrix) for unit in units]


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


def _result(problem: Problem, unit: Unit, candidates: list[Trained], matrix: Matrix) -> UnitResult:
    best = candidates[first_best([candidate.score for candidate in candidates])]
    W = best.state["W"]
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
    """Weights `[width, S, C]` of a cohort: rows of D features, the bias, padding."""

    def __init__(self, cohort: Cohort, width: int, classes: int) -> None:
        slots, d = cohort.mean.shape
        device = cohort.mean.device
        self.shape = (width, slots, classes)
        self.d = d
        self.W = torch.nn.Parameter(_initial(cohort.seed, d, self.shape).to(device))
        self.W.grad = torch.zeros_like(self.W)
        self.V = torch.zeros_like(self.W.data)
        scale = torch.zeros((width, slots), device=device)
        scale[:d], scale[d] = cohort.scale.T, 1
        self.scale = scale[:, :, None].expand(self.shape).contiguous()
        self.means = torch.zeros((slots, width), device=device)
        self.means[:, :d] = cohort.mean
        self.adamw = torch.optim.AdamW([self.W], weight_decay=cohort.weight_decay, fused=True)

    def step(self, x: torch.Tensor, w: torch.Tensor, target: torch.Tensor, lr: float) -> None:
        """One AdamW step; see `Block`."""
        slots = self.shape[1]
        rows = torch.cat([self.means, x])
        torch.mul(self.W.data, self.scale, out=self.V)
        z = (rows @ self.V.flatten(1)).unflatten(1, self.shape[1:])
        offset = z[:slots].diagonal().T  # mean_u @ V_u [S, C]
        residual = torch.softmax(z[slots:] - offset, -1)
        residual.sub_(target[:, None]).mul_(w[:, :, None])
        z[:slots] = 0
        z[:slots].diagonal().copy_(residual.sum(0).neg_().T)
        z[slots:] = residual
        assert self.W.grad is not None
        torch.mm(rows.T, z.flatten(1), out=self.W.grad.flatten(1))
        self.W.grad.mul_(self.scale)
        self.adamw.param_groups[0]["lr"] = lr
        self.adamw.step()

    def logits(self, slot: int, x: torch.Tensor) -> torch.Tensor:
        """Logits of one slot; see `Block`."""
        V = self.W.data[:, slot] * self.scale[:, slot]
        return (x - self.means[slot]) @ V

    def state(self, slot: int) -> State:
        """A copy of one slot's weights; see `Block`."""
        return {"W": self.W.data[:, slot].cpu().numpy().copy()}


def _initial(seed: int, d: int, shape: tuple[int, int, int]) -> torch.Tensor:
    """As `torch.nn.Linear` begins: uniform within 1/sqrt(D); the same for all folds of a seed."""
    width, slots, classes = shape
    rng = np.random.default_rng([seed, 2**32 - 1])
    bound = 1 / sqrt(d)
    W = np.zeros((width, classes), np.float32)
    W[: d + 1] = rng.uniform(-bound, bound, (d + 1, classes))
    return torch.from_numpy(W)[:, None].expand(width, slots, classes).contiguous()
