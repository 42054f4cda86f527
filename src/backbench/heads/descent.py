"""Minibatch training of many units in step: what the heads trained by AdamW share.

All units of a seed walk one permutation of all rows. A row that a unit holds out (test or
validation) has weight 0 in its loss, so one matrix product with the rows of a batch serves all
units of a block. Units sit in slots of blocks (see `slots`), and each core trains a block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import cos, pi
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.folds import Fold
from backbench.heads import slots
from backbench.heads.bench import Bench, Settings, bench_of
from backbench.heads.choose import first_best, log_loss, score
from backbench.heads.matrix import Doubles, Matrix
from backbench.heads.settings import values
from backbench.heads.threads import each
from backbench.heads.unit import Means, Problem, Unit, need_validation

WIDTH = 24
"""Slots a block at most: matrix products at full speed, and one unit alone still cheap."""
CHUNK = 4
"""Batches whose rows are read at once: few reads, and what is read stays in a near cache."""

State = dict[str, NDArray[np.float32]]
Tensor = torch.Tensor


@dataclass(frozen=True)
class Cohort:
    """The units of one seed and one grid point that sit in one block."""

    bench: Bench
    seed: int
    lr: float
    weight_decay: float


class Block(Protocol):
    """The parameters of a cohort and how they take a step."""

    def step(self, x: Tensor, w: Tensor, target: Tensor, lr: float) -> None:
        """One AdamW step on the weighted mean over rows `[B, width]`.

        The weights `[B, S]` are 0 for held-out rows; the targets are `[B, C]`.
        """

    def logits(self, slot: int, x: Tensor) -> Tensor:
        """Logits `[n, C]` of one slot, without dropout."""

    def state(self, slot: int) -> State:
        """A copy of one slot's parameters."""


@dataclass
class Trained:
    """A unit at one grid point: its best epoch so far, or at last.

    Attributes:
        lr, weight_decay: the grid point.
        mean, scale: of the training rows, in the frame of the matrix `[D]`.
        epoch: counted from 1.
        score: validation metric, higher is better.
        state: the parameters.
        history: validation metrics per epoch.
    """

    lr: float
    weight_decay: float
    mean: Doubles
    scale: Doubles
    epoch: int = 0
    score: float = float("-inf")
    state: State = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """What all units share: the problem, the settings, and the features in the common frame."""

    problem: Problem
    settings: Settings
    matrix: Matrix

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        batches: int = -(-self.matrix.n // self.settings.batch_size)
        return batches

    def learning_rate(self, peak: float, step: int) -> float:
        """Linear warm-up to `peak`, then a cosine to 0 after the last epoch."""
        warm = self.settings.warmup_epochs * self.steps
        if step < warm:
            return peak * (step + 1) / (warm + 1)
        done = (step - warm) / max(1.0, self.settings.epochs * self.steps - warm)
        return peak * 0.5 * (1 + cos(pi * done))


def descend(
    course: Course,
    units: Sequence[Unit],
    *,
    make_block: Callable[[Cohort], Block],
    slot_bytes: int,
    means: Means,
) -> dict[tuple[int, int], list[Trained]]:
    """Train all units at all grid points.

    Args:
        course: what the units share.
        units: folds x seeds.
        make_block: parameters for a cohort.
        slot_bytes: what one slot of a block takes.
        means: memory for blocks in training, workers, and whom to tell of epochs done.

    Returns:
        For each (fold index, seed) one `Trained` a grid point, in the order of the grid.
    """
    settings = course.settings
    grid = tuple(product(values(settings.lr), values(settings.weight_decay)))
    if settings.patience or len(grid) > 1:
        need_validation(
            units, "the epoch or the learning rate", "head.patience = 0 and one lr, weight_decay"
        )
    width = slots.width(course.problem, WIDTH, slot_bytes, means.memory)
    cohorts = _cohorts(course, units, grid, width)
    means.expect(len(cohorts) * settings.epochs)
    trained: dict[tuple[int, int], list[Trained]] = {}

    def train(cohort: Cohort) -> _Run:
        return _train(_Run(course, cohort), make_block(cohort), means)

    for run in each(train, cohorts, workers=means.at_once(width * slot_bytes)):
        for slot, fold in run.units:
            trained.setdefault((fold.index, run.cohort.seed), []).append(run.best[slot])
    return trained


def best_of(candidates: Sequence[Trained], unit: Unit) -> Trained:
    """The grid point that does best on the validation rows of a unit, the first of equals.

    Raises:
        HeadError: none ever had a finite validation metric.
    """
    best = candidates[first_best([candidate.score for candidate in candidates])]
    if not best.state:
        raise HeadError(
            f"fold {unit.fold.name}, seed {unit.seed}: no epoch had finite logits; lower head.lr."
        )
    return best


def _cohorts(
    course: Course, units: Sequence[Unit], grid: Sequence[tuple[float, float]], width: int
) -> list[Cohort]:
    """By seed, then grid point, then fold; seeds with the same folds share their benches."""
    benches: dict[tuple[int, ...], Bench] = {}
    cohorts = []
    for seed in sorted({unit.seed for unit in units}):
        layout = slots.blocks((unit.fold for unit in units if unit.seed == seed), width)
        for (lr, decay), folds in product(grid, layout):
            key = tuple(-1 if fold is None else fold.index for fold in folds)
            if key not in benches:
                benches[key] = bench_of(course.problem, course.settings, course.matrix, folds)
            cohorts.append(Cohort(benches[key], seed, lr, decay))
    return cohorts


def _train(run: "_Run", block: Block, means: Means) -> "_Run":
    """The training loop of a cohort."""
    course, cohort = run.course, run.cohort
    settings, matrix, bench = course.settings, course.matrix, cohort.bench
    targets = _targets(course.problem.classes, settings.label_smoothing).to(matrix.device)
    y = torch.from_numpy(course.problem.y).to(matrix.device)
    size, step = settings.batch_size, 0
    for epoch in range(settings.epochs):
        order = np.random.default_rng([cohort.seed, epoch]).permutation(matrix.n)
        for start in range(0, len(order), size * CHUNK):
            numbers = order[start : start + size * CHUNK]
            rows = torch.from_numpy(numbers).to(matrix.device)
            x, labels = matrix.take(numbers), y[rows]
            w, target = bench.trained[rows] * bench.class_weights[labels], targets[labels]
            for first in range(0, len(rows), size):
                batch = slice(first, first + size)
                lr = course.learning_rate(cohort.lr, step)
                block.step(x[batch], w[batch], target[batch], lr)
                step += 1
        run.validate(block, epoch)
        if run.finished:
            means.advance(settings.epochs - epoch)
            break
        means.advance(1)
    return run


def _targets(classes: int, smoothing: float) -> Tensor:
    """What the softmax should be for each class `[C, C]`."""
    return torch.eye(classes) * (1 - smoothing) + smoothing / classes


class _Run:
    """How the units of a cohort do."""

    def __init__(self, course: Course, cohort: Cohort) -> None:
        self.course, self.cohort = course, cohort
        folds = cohort.bench.folds
        self.units = [(slot, fold) for slot, fold in enumerate(folds) if fold is not None]
        self.best = {slot: _untrained(cohort, slot) for slot, _ in self.units}
        self.waiting = {slot: 0 for slot, _ in self.units}

    @property
    def finished(self) -> bool:
        """Whether every unit has waited for long enough."""
        patience = self.course.settings.patience
        return bool(patience) and all(count >= patience for count in self.waiting.values())

    def validate(self, block: Block, epoch: int) -> None:
        """Note how each unit does after an epoch, and keep what is worth keeping."""
        settings = self.course.settings
        for slot, fold in self.units:
            if settings.patience and self.waiting[slot] >= settings.patience:
                continue
            best = self.best[slot]
            value = self._score(block, slot, fold) if fold.val.size else 0.0
            better = value > best.score or not settings.patience
            self.waiting[slot] = 0 if better else self.waiting[slot] + 1
            if better:
                best.epoch, best.score = epoch + 1, value
                # Without early stopping only the last epoch matters.
                if settings.patience or epoch + 1 == settings.epochs:
                    best.state = block.state(slot)

    def _score(self, block: Block, slot: int, fold: Fold) -> float:
        matrix, monitor = self.course.matrix, self.course.settings.monitor
        logits = np.empty((len(fold.val), self.course.problem.classes), np.float32)
        for part in matrix.parts(len(fold.val)):
            logits[part] = block.logits(slot, matrix.take(fold.val[part])).cpu().numpy()
        y = self.course.problem.y[fold.val]
        loss = log_loss(logits, y)
        value = -loss if monitor == "val_loss" else score(monitor, logits, y)
        history = self.best[slot].history
        history.setdefault("val_loss", []).append(loss)
        if monitor != "val_loss":
            history.setdefault(f"val_{monitor}", []).append(value)
        return value


def _untrained(cohort: Cohort, slot: int) -> Trained:
    mean, scale = (m[slot].cpu().double().numpy() for m in (cohort.bench.mean, cohort.bench.scale))
    return Trained(cohort.lr, cohort.weight_decay, mean, scale)
