"""One hidden layer of ReLUs with dropout, by AdamW; the first layers of all units are one product.

    logits = relu(x' @ W1 + b1) * keep / (1 - dropout) @ W2 + b2,   x' = (z - mean_u) * scale_u

The loss, the schedule, early stopping and the standardisation by algebra are those of `linear`;
the gradients are torch's. Units of a seed share initial weights and dropout masks, so folds differ
in nothing but their rows.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.files.arrays import Arrays
from backbench.heads.affine import ROWS, of_rows, product, standardised_rows
from backbench.heads.descent import Cohort, Course, State, Tensor, Trained, best_of, descend
from backbench.heads.matrix import Matrix, affine_weights
from backbench.heads.residuals import shares
from backbench.heads.settings import MlpSettings
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult

_COPIES = 8
"""Arrays of the size of the weights: W, V and their gradients, two moments, scale, best epoch."""


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: MlpSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    matrix = Matrix(problem.X, means.device, means.memory)
    trained = descend(
        Course(problem, settings, matrix),
        units,
        make_block=lambda cohort: _Block(cohort, matrix.width, problem.classes, settings),
        slot_bytes=_COPIES * 4 * settings.hidden * (matrix.width + problem.classes),
        means=means,
    )
    return [_result(problem, unit, trained[unit.fold.index, unit.seed], matrix) for unit in units]


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`, float64 inside; see `backbench.heads.predict`."""
    logits = np.empty((X.shape[0], weights["bias2"].shape[0]), np.float32)
    for start in range(0, max(X.shape[0], 1), ROWS):
        rows = slice(start, start + ROWS)
        hidden = product(standardised_rows(weights, X[rows]), weights["weight"]) + weights["bias"]
        logits[rows] = product(np.maximum(hidden, 0), weights["weight2"]) + weights["bias2"]
    return logits


def _result(problem: Problem, unit: Unit, candidates: list[Trained], matrix: Matrix) -> UnitResult:
    best = best_of(candidates, unit)
    W1 = best.state["W1"].T
    weights = affine_weights(matrix, best.mean, best.scale, W1[: matrix.d], W1[matrix.d])
    weights |= {"weight2": best.state["W2"], "bias2": best.state["b2"]}
    return UnitResult(
        unit,
        of_rows(predict, weights, problem, unit.fold.test),
        of_rows(predict, weights, problem, unit.fold.val),
        {"lr": best.lr, "weight_decay": best.weight_decay, "epoch": best.epoch},
        best.history,
        weights,
    )


class _Block:
    """Weights of a cohort: `W1 [S, H, width]`, `W2 [S, H, C]`, `b2 [S, 1, C]`."""

    def __init__(self, cohort: Cohort, width: int, classes: int, settings: MlpSettings) -> None:
        slots, d = cohort.bench.mean.shape
        device = cohort.bench.mean.device
        self.settings, self.seed, self.steps = settings, cohort.seed, 0
        initial = _initial(cohort.seed, d, width, settings.hidden, classes)
        self.W1, self.W2, self.b2 = (
            torch.nn.Parameter(torch.from_numpy(array).to(device).repeat(slots, 1, 1))
            for array in initial
        )
        self.mean = torch.zeros((slots, 1, width), device=device)
        self.scale = torch.zeros((slots, 1, width), device=device)
        self.mean[:, 0, :d] = cohort.bench.mean
        self.scale[:, 0, :d], self.scale[:, 0, d] = cohort.bench.scale, 1
        self.adamw = torch.optim.AdamW(
            [self.W1, self.W2, self.b2], weight_decay=cohort.weight_decay, fused=True
        )

    def step(self, x: Tensor, w: Tensor, target: Tensor, lr: float) -> None:
        """One AdamW step; see `Block`."""
        V = self.W1 * self.scale
        before = (x @ V.flatten(0, 1).T).view(len(x), *V.shape[:2]) - (V * self.mean).sum(-1)
        hidden = torch.relu(before) * self._keep(len(x))
        z = torch.baddbmm(self.b2, hidden.transpose(0, 1), self.W2)  # [S, B, C]
        loss = -(torch.log_softmax(z, -1) * target * shares(w).T[:, :, None]).sum()
        self.adamw.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adamw.param_groups[0]["lr"] = lr
        self.adamw.step()

    def _keep(self, rows: int) -> Tensor:
        """Dropout of hidden units `[B, 1, H]`: one draw for all slots, by seed and step."""
        rng = np.random.default_rng([self.seed, 2**32 - 2, self.steps])
        self.steps += 1
        drop = self.settings.dropout
        kept = rng.random((rows, 1, self.settings.hidden), np.float32) >= drop
        return torch.from_numpy(kept.astype(np.float32) / (1 - drop)).to(self.mean.device)

    def logits(self, slot: int, x: Tensor) -> Tensor:
        """Logits of one slot, without dropout; see `Block`."""
        V = self.W1.data[slot] * self.scale[slot]
        hidden = torch.relu((x - self.mean[slot]) @ V.T)
        return hidden @ self.W2.data[slot] + self.b2.data[slot]

    def state(self, slot: int) -> State:
        """A copy of one slot's weights; see `Block`."""
        parts = {"W1": self.W1[slot], "W2": self.W2[slot], "b2": self.b2[slot, 0]}
        return {name: part.detach().cpu().numpy().copy() for name, part in parts.items()}


def _initial(
    seed: int, d: int, width: int, hidden: int, classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """As `torch.nn.Linear` begins: uniform within 1/sqrt(inputs); the bias of layer 1 is column D.

    Returns:
        `W1 [H, width]`, `W2 [H, C]` and `b2 [1, C]`, the same for all folds of a seed.
    """
    rng = np.random.default_rng([seed, 2**32 - 1])
    W1 = np.zeros((hidden, width), np.float32)
    W1[:, : d + 1] = rng.uniform(-1 / sqrt(d), 1 / sqrt(d), (hidden, d + 1))
    bound = 1 / sqrt(hidden)
    W2 = rng.uniform(-bound, bound, (hidden, classes)).astype(np.float32)
    return W1, W2, rng.uniform(-bound, bound, (1, classes)).astype(np.float32)
