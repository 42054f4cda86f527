"""One unit of the `stress` head: a network trained by AdamW with early stopping, on one core.

Initial weights, the order of samples and dropout are those of the seed, whatever the fold, and
come from generators of the unit's own: whatever else trains, a unit gets the very same numbers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import cos, inf, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from backbench.errors import HeadError
from backbench.files.arrays import Arrays
from backbench.heads.settings import StressSettings
from backbench.heads.stress_data import Course, Plants, Rows, Scaling, Tensor
from backbench.heads.stress_network import Keep, Network, everything
from backbench.heads.stress_weights import Master
from backbench.heads.unit import Unit, UnitResult

Advance = Callable[[int], None]
ROWS = 64
"""Samples that are looked at together outside training."""
_DRAWN = 1 << 20
"""Activations that dropout draws for at once."""


def train_unit(course: Course, unit: Unit, advance: Advance) -> UnitResult:
    """Train a unit; `advance` is told of epochs done, those that patience saves included."""
    training = Training(Plants(course), unit)
    training.train(advance)
    return result_of(course, unit, training.best, training.scaling)


@dataclass
class Best:
    """The best epoch so far, counted from 1, and the losses of all; no `val_loss` unvalidated."""

    epochs: int = 0
    epoch: int = 0
    loss: float = inf
    state: Mapping[str, Tensor] = field(default_factory=dict)
    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)

    def note(self, loss: float | None, settings: StressSettings) -> bool:
        """Take the next epoch's validation loss, if there is one; whether to keep the epoch."""
        self.epochs += 1
        if loss is not None:
            self.val_loss.append(loss)
        lower = loss is not None and loss < self.loss
        better = lower if settings.patience else self.epochs == settings.epochs
        if better:
            self.epoch, self.loss = self.epochs, inf if loss is None else loss
        return better

    def finished(self, settings: StressSettings) -> bool:
        """Whether no more epochs are to come."""
        waited = self.epochs - self.epoch
        return self.epochs == settings.epochs or 0 < settings.patience <= waited


def result_of(course: Course, unit: Unit, best: Best, scaling: Mapping[str, Scaling]) -> UnitResult:
    """What a trained unit gives back; its logits are fp32.

    Raises:
        HeadError: the validation loss was never finite.
    """
    if not best.state:
        raise HeadError(
            f"fold {unit.fold.name}, seed {unit.seed}: the validation loss was never finite; "
            "lower head.lr, and see that validation samples have scored steps."
        )
    weights = _weights(best.state, scaling, course.settings)
    history, chosen = {"train_loss": best.train_loss}, {"epoch": float(best.epoch)}
    if best.val_loss:
        history["val_loss"], chosen["val_loss"] = best.val_loss, best.loss
    test, val = (predict_rows(weights, course, rows) for rows in (unit.fold.test, unit.fold.val))
    return UnitResult(unit, test, val, chosen, history, weights)


def learning_rate(settings: StressSettings, epoch: int) -> float:
    """Of an epoch, from 0: a line up to `lr`, then a cosine down to `min_lr` after the last."""
    warm, begin = settings.warmup_epochs, settings.warmup_start
    if epoch < warm:
        return settings.lr * (begin + (1 - begin) * epoch / warm)
    done = (epoch - warm) / (settings.epochs - warm)
    return settings.min_lr + (settings.lr - settings.min_lr) * 0.5 * (1 + cos(pi * done))


def seeded(settings: StressSettings, widths: Mapping[str, int], seed: int) -> Network:
    """A network with the initial weights of a seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(settings, widths)


class Dropout:
    """Leaves out a share of activations, to 1/65,536, drawn by a generator of its own.

    Torch's takes longer to draw than the network's products take: 16 bits are enough for a share,
    and they are drawn for many activations at once.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.bits = round(share * 65_536), np.random.SFC64([seed, 1])
        self.scale, self.drawn = 65_536 / (65_536 - self.share), torch.empty(0, dtype=torch.uint8)

    def __call__(self, x: Tensor) -> Tensor:
        """The activations that are kept, scaled up."""
        return x * self._draw(x.numel()).view(x.shape).to(x.dtype).mul_(self.scale)

    def _draw(self, count: int) -> Tensor:
        """1 for each of `count` activations that is kept, 0 for the others."""
        if len(self.drawn) < count:
            bits = self.bits.random_raw(max(count, _DRAWN) // 4 + 1).view(np.uint16)
            self.drawn = torch.from_numpy((bits >= self.share).view(np.uint8))
        kept, self.drawn = self.drawn[:count], self.drawn[count:]
        return kept


class Training:
    """A unit in training."""

    def __init__(self, plants: Plants, unit: Unit) -> None:
        course = plants.course
        self.plants, self.fold, self.settings = plants, unit.fold, course.settings
        self.scaling = course.fit(unit.fold.train)
        self.values = plants.scaled(self.scaling)
        self.network = seeded(course.settings, course.widths, unit.seed)
        self.master = Master(self.network, self.settings.precision)
        self.adamw = torch.optim.AdamW(
            [self.master.flat], weight_decay=self.settings.weight_decay, fused=True
        )
        self.order = np.random.default_rng([unit.seed, 0])
        share = self.settings.dropout
        self.keep: Keep = Dropout(share, unit.seed) if share else everything
        self.best = Best()

    def train(self, advance: Advance) -> None:
        """All epochs, or as many as patience allows."""
        epochs = self.settings.epochs
        for epoch in range(epochs):
            self._pass(learning_rate(self.settings, epoch))
            if self.best.note(self._validate(), self.settings):
                self.best.state = self.master.state()
            finished = self.best.finished(self.settings)
            advance(epochs - epoch if finished else 1)
            if finished:
                break

    def _pass(self, lr: float) -> None:
        """One pass over the training rows in a new order."""
        self.adamw.param_groups[0]["lr"] = lr
        rows, size = self.order.permutation(self.fold.train), self.settings.batch_size
        losses = [self.step(rows[start : start + size]) for start in range(0, len(rows), size)]
        total, count = np.sum(losses, 0)
        self.best.train_loss.append(float(total / count))

    def step(self, rows: Rows) -> tuple[float, int]:
        """Train on some rows; their loss summed over scored steps, and how many there are."""
        total, count = self._loss(rows, self.keep)
        if count:
            self.master.differentiate(total / count)
            nn.utils.clip_grad_norm_([self.master.flat], self.settings.clip)
            self.adamw.step()
            self.master.refresh()
        return total.item(), count

    @torch.no_grad()
    def _validate(self) -> float | None:
        """The mean over the scored steps of the validation rows; None where there are none."""
        parts = [self._loss(rows, everything) for rows in parts_of(self.fold.val)]
        count = sum(count for _, count in parts)
        return sum(total.item() for total, _ in parts) / count if count else None

    def _loss(self, rows: Rows, keep: Keep) -> tuple[Tensor, int]:
        """Binary cross-entropy summed over the scored steps, and how many there are."""
        steps = self.plants.packed(torch.from_numpy(rows), int(self.plants.kept[rows].max()))
        z = self.network(self.plants.batch(steps, self.values), keep)
        losses = entropies(z, self.plants.labels(steps), self.settings) * steps.scored
        return losses.sum(), int(steps.scored.sum())


def entropies(z: Tensor, y: Tensor, settings: StressSettings) -> Tensor:
    """Binary cross-entropy of each logit, with class 1 weighing `pos_weight`."""
    weight = torch.tensor(settings.pos_weight, device=z.device)
    return nn.functional.binary_cross_entropy_with_logits(z, y, pos_weight=weight, reduction="none")


def _weights(
    state: Mapping[str, Tensor], scaling: Mapping[str, Scaling], settings: StressSettings
) -> dict[str, NDArray[Any]]:
    """All that `predict` needs; the settings as the bytes of their JSON."""
    weights: dict[str, NDArray[Any]] = {name: part.cpu().numpy() for name, part in state.items()}
    for name, of_channel in scaling.items():
        weights |= {f"{name}.mean": of_channel.mean, f"{name}.scale": of_channel.scale}
    return weights | {"settings": np.frombuffer(json.dumps(asdict(settings)).encode(), np.uint8)}


@torch.no_grad()
def predict_rows(weights: Arrays, course: Course, rows: Rows) -> NDArray[np.float32]:
    """`(0, z)` of every step of the rows `[n * T, 2]`, fp32: their softmax is the sigmoid of z."""
    network, plants = Network(course.settings, course.widths), Plants(course)
    network.load_state_dict(
        {name: torch.from_numpy(np.array(weights[name])) for name in network.state_dict()}
    )
    values = plants.scaled(
        {n: Scaling(weights[f"{n}.mean"], weights[f"{n}.scale"]) for n in course.measured}
    )
    flat = np.zeros((len(rows) * plants.steps, 2), np.float32)
    for number, part in enumerate(parts_of(rows)):
        z = network(plants.batch(plants.all_steps(torch.from_numpy(part)), values))
        start = number * ROWS * plants.steps
        flat[start : start + z.numel(), 1] = z.flatten().numpy()
    return flat


def parts_of(rows: Rows) -> Iterator[Rows]:
    """Rows in parts of `ROWS`."""
    for start in range(0, len(rows), ROWS):
        yield rows[start : start + ROWS]
