"""Minibatch training of many units in step: what the heads trained by AdamW share.

All units of a seed walk one permutation of all rows. A row that a unit holds out (test or
validation) has weight 0 in its loss, so the features of a batch are read once for all of them.
Units sit in slots of blocks of a fixed width, a fold always in the same slot. A unit alone goes
through the same arithmetic, on matrices of the same shape, as among all others: its numbers are
the same, and no near-tie between two epochs can fall differently.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import ceil, cos, pi
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.folds import Fold
from backbench.heads.choose import log_loss, score
from backbench.heads.matrix import Matrix, Moments, fold_moments
from backbench.heads.settings import LinearSettings, MlpSettings, values
from backbench.heads.unit import Problem, Progress, Unit, need_validation

WIDTH = 16
"""Slots a block at most: enough for matrix products at full speed, few enough for the cache."""
CHUNK = 16
"""Batches whose rows are fetched at once."""

Settings = LinearSettings | MlpSettings
State = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Cohort:
    """The units of one seed and one grid point that sit in one block.

    Attributes:
        seed, lr, weight_decay: shared by all.
        folds: one a slot, None where no unit was asked for.
        mean, scale: of each slot's training rows, in the frame of the matrix `[S, D]`.
        weights: of the rows in the loss: 0, or the weight of the row's class `[N, S]`, made from
            `trained` and `class_weights` batch by batch.
    """

    seed: int
    lr: float
    weight_decay: float
    folds: tuple[Fold | None, ...]
    mean: torch.Tensor
    scale: torch.Tensor
    trained: torch.Tensor
    class_weights: torch.Tensor


class Block(Protocol):
    """The parameters of a cohort and how they take a step."""

    def step(self, x: torch.Tensor, w: torch.Tensor, target: torch.Tensor, lr: float) -> None:
        """One AdamW step on rows `[B, width]` with weights `[B, S]` and targets `[B, C]`."""

    def logits(self, slot: int, x: torch.Tensor) -> torch.Tensor:
        """Logits `[n, C]` of one slot, without dropout."""

    def state(self, slot: int) -> State:
        """A copy of one slot's parameters."""


MakeBlock = Callable[[Cohort], Block]


@dataclass
class Trained:
    """A unit at one grid point: its best epoch so far, or at last."""

    lr: float
    weight_decay: float
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    epoch: int = 0
    score: float = float("-inf")
    state: State = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)


def descend(
    problem: Problem,
    units: Sequence[Unit],
    settings: Settings,
    *,
    matrix: Matrix,
    make_block: MakeBlock,
    slot_bytes: int,
    memory_budget: int,
    progress: Progress,
) -> dict[tuple[int, int], list[Trained]]:
    """Train all units at all grid points.

    Args:
        problem, units, settings: what to train.
        matrix: the features in the common frame.
        make_block: parameters for a cohort.
        slot_bytes: what one slot of a block takes.
        memory_budget: bytes that all blocks in training may take together.
        progress: called with epochs of blocks (done, total).

    Returns:
        For each (fold index, seed) one `Trained` a grid point, in the order of the grid.
    """
    grid = tuple(product(values(settings.lr), values(settings.weight_decay)))
    if settings.patience or len(grid) > 1:
        need_validation(
            units, "the epoch or the learning rate", "head.patience = 0 and one lr, weight_decay"
        )
    width = _width(problem, slot_bytes, memory_budget)
    cohorts = _cohorts(problem, units, settings, grid, matrix, width)
    at_once = max(1, memory_budget // (2 * width * slot_bytes))
    report = _Report(len(cohorts) * settings.epochs, progress)
    trained: dict[tuple[int, int], list[Trained]] = {}
    for wave in _waves(cohorts, at_once):
        runs = [_Run(cohort, make_block(cohort), settings, report) for cohort in wave]
        _train_wave(runs, problem, settings, matrix)
        for run in runs:
            for slot, fold in run.units:
                trained.setdefault((fold.index, run.cohort.seed), []).append(run.best[slot])
    return trained


def _width(problem: Problem, slot_bytes: int, memory_budget: int) -> int:
    """Slots a block; never a matter of which units were asked for."""
    affordable = max(1, memory_budget // (2 * slot_bytes))
    most = min(WIDTH, affordable)
    if not problem.folds:
        return most
    return ceil(problem.folds / ceil(problem.folds / most))


def _cohorts(
    problem: Problem,
    units: Sequence[Unit],
    settings: Settings,
    grid: Sequence[tuple[float, float]],
    matrix: Matrix,
    width: int,
) -> list[Cohort]:
    """By seed, then grid point, then fold."""
    cohorts = []
    by_index = {unit.fold.index: unit.fold for unit in units}
    benches = {
        number: _bench(problem, settings, matrix, by_index, number, width)
        for number in sorted({index // width for index in by_index})
    }
    for seed in sorted({unit.seed for unit in units}):
        asked = {unit.fold.index for unit in units if unit.seed == seed}
        for (lr, decay), number in product(grid, sorted({index // width for index in asked})):
            slots = range(number * width, (number + 1) * width)
            folds = tuple(by_index[i] if i in asked else None for i in slots)
            cohorts.append(Cohort(seed, lr, decay, folds, *benches[number]))
    return cohorts


def _bench(
    problem: Problem,
    settings: Settings,
    matrix: Matrix,
    folds: dict[int, Fold],
    number: int,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Moments, training mask and class weights of the slots of a block; 0 where nobody sits."""
    there = [i for i in range(number * width, (number + 1) * width) if i in folds]
    slots = [i - number * width for i in there]
    moments: Moments = fold_moments(matrix, [folds[i] for i in there])
    mean, scale = np.zeros((2, width, matrix.d), np.float32)
    mean[slots], scale[slots] = moments.mean, moments.scale
    trained = np.zeros((matrix.n, width), np.bool_)
    weights = np.zeros((problem.classes, width), np.float32)
    for slot, index in zip(slots, there, strict=True):
        rows = folds[index].train
        trained[rows, slot] = True
        weights[:, slot] = _class_weights(settings, problem.y[rows], problem.classes)
    device = matrix.device
    tensors = [torch.from_numpy(array).to(device) for array in (mean, scale, trained, weights)]
    return tensors[0], tensors[1], tensors[2], tensors[3]


def _class_weights(settings: Settings, y: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
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


def _waves(cohorts: Sequence[Cohort], at_once: int) -> Iterator[list[Cohort]]:
    """Cohorts of one seed that fit into memory together; they share the reading of batches."""
    for seed in sorted({cohort.seed for cohort in cohorts}):
        mine = [cohort for cohort in cohorts if cohort.seed == seed]
        for start in range(0, len(mine), at_once):
            yield mine[start : start + at_once]


def _train_wave(runs: list["_Run"], problem: Problem, settings: Settings, matrix: Matrix) -> None:
    """The training loop."""
    targets = _targets(problem.classes, settings.label_smoothing).to(matrix.device)
    y = torch.from_numpy(problem.y).to(matrix.device)
    per_epoch = ceil(matrix.n / settings.batch_size)
    for epoch in range(settings.epochs):
        order = np.random.default_rng([runs[0].cohort.seed, epoch]).permutation(matrix.n)
        active = [run for run in runs if not run.finished]
        for first, rows in _chunks(order, settings.batch_size * CHUNK):
            x, labels = matrix.take(rows), y[torch.from_numpy(rows).to(matrix.device)]
            at = epoch * per_epoch + first // settings.batch_size
            for run in active:
                run.walk(rows, x, labels, targets, at, per_epoch)
        for run in active:
            run.validate(epoch, problem, matrix)


def _chunks(order: NDArray[np.int64], size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    for start in range(0, len(order), size):
        yield start, order[start : start + size]


def _targets(classes: int, smoothing: float) -> torch.Tensor:
    """What the softmax should be for each class `[C, C]`."""
    return torch.eye(classes) * (1 - smoothing) + smoothing / classes


def learning_rate(settings: Settings, peak: float, step: int, per_epoch: int) -> float:
    """Linear warm-up to `peak`, then a cosine to 0 after the last epoch."""
    warm = settings.warmup_epochs * per_epoch
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    done = (step - warm) / max(1.0, settings.epochs * per_epoch - warm)
    return peak * 0.5 * (1 + cos(pi * done))


class _Run:
    """A cohort in training."""

    def __init__(self, cohort: Cohort, block: Block, settings: Settings, report: "_Report") -> None:
        self.cohort, self.block, self.settings, self.report = cohort, block, settings, report
        self.units = [(slot, fold) for slot, fold in enumerate(cohort.folds) if fold is not None]
        self.best = {slot: _untrained(cohort, slot) for slot, _ in self.units}
        self.waiting = {slot: 0 for slot, _ in self.units}
        self.finished = False

    def walk(
        self,
        rows: NDArray[np.int64],
        x: torch.Tensor,
        labels: torch.Tensor,
        targets: torch.Tensor,
        at: int,
        per_epoch: int,
    ) -> None:
        """A step for each batch of the chunk; `at` counts the steps before it."""
        cohort, size = self.cohort, self.settings.batch_size
        trained = cohort.trained[torch.from_numpy(rows).to(x.device)]
        w, target = trained * cohort.class_weights[labels], targets[labels]
        for number, start in enumerate(range(0, len(rows), size)):
            batch = slice(start, start + size)
            share = w[batch] / w[batch].sum(0).clamp_min(1e-12)
            lr = learning_rate(self.settings, cohort.lr, at + number, per_epoch)
            self.block.step(x[batch], share, target[batch], lr)

    def validate(self, epoch: int, problem: Problem, matrix: Matrix) -> None:
        """Note how each unit does after an epoch, and keep what is worth keeping."""
        for slot, fold in self.units:
            if self.settings.patience and self.waiting[slot] >= self.settings.patience:
                continue
            best = self.best[slot]
            value = self._score(slot, fold, problem, matrix) if fold.val.size else 0.0
            better = value > best.score or not self.settings.patience
            self.waiting[slot] = 0 if better else self.waiting[slot] + 1
            if better:
                best.epoch, best.score = epoch + 1, value
                # Without early stopping only the last epoch matters.
                if self.settings.patience or epoch + 1 == self.settings.epochs:
                    best.state = self.block.state(slot)
        self.finished = bool(self.settings.patience) and all(
            count >= self.settings.patience for count in self.waiting.values()
        )
        self.report.add(self.settings.epochs - epoch if self.finished else 1)

    def _score(self, slot: int, fold: Fold, problem: Problem, matrix: Matrix) -> float:
        size = matrix.block_rows
        parts = [
            self.block.logits(slot, matrix.take(fold.val[start : start + size])).cpu().numpy()
            for start in range(0, len(fold.val), size)
        ]
        logits, y = np.concatenate(parts), problem.y[fold.val]
        value = score(self.settings.monitor, logits, y)
        history = self.best[slot].history
        history.setdefault("val_loss", []).append(log_loss(logits, y))
        if self.settings.monitor != "val_loss":
            history.setdefault(f"val_{self.settings.monitor}", []).append(value)
        return value


def _untrained(cohort: Cohort, slot: int) -> Trained:
    mean, scale = (array[slot].cpu().double().numpy() for array in (cohort.mean, cohort.scale))
    return Trained(cohort.lr, cohort.weight_decay, mean, scale)


class _Report:
    """Epochs of blocks, done and in all."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def add(self, epochs: int) -> None:
        self.done += epochs
        self.progress(self.done, self.total)
