"""One unit of the `stress` head: a network trained by AdamW with early stopping, on one core.

Initial weights, the order of samples and dropout are those of the seed, whatever the fold, and
come from generators of the unit's own: whatever else trains, a unit gets the very same numbers.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import cos, inf, nan, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from backbench.errors import HeadError
from backbench.heads.settings import StressSettings
from backbench.heads.stress_data import Course, Plants, Rows, Scaling, Steps, Tensor
from backbench.heads.stress_network import Keep, Network, everything
from backbench.heads.stress_weights import Master
from backbench.heads.unit import Unit, UnitResult

Advance = Callable[[int], None]
_ROWS = 64
"""Samples that are looked at together outside training."""


def train_unit(course: Course, unit: Unit, advance: Advance) -> UnitResult:
    """Train a unit; `advance` is told of epochs done, those that patience saves included."""
    plants = Plants(course, course.fit(unit.fold.train))
    run = Training(plants, seeded(course.settings, course.widths, unit.seed), unit)
    run.train(advance)
    weights = _weights(run.state, plants)
    network, _ = network_of(weights, course)
    return UnitResult(
        unit,
        logits(network, plants, unit.fold.test),
        logits(network, plants, unit.fold.val),
        {"epoch": float(run.epoch), "val_loss": run.loss},
        run.history,
        weights,
    )


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

    Torch's takes longer to draw than the network's products take: 16 bits are enough for a share.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.bits = round(share * 65_536), np.random.SFC64([seed, 1])

    def __call__(self, x: Tensor) -> Tensor:
        """The activations that are kept, scaled up."""
        if not self.share:
            return x
        drawn = self.bits.random_raw(-(-x.numel() // 4)).view(np.uint16)[: x.numel()]
        kept = torch.from_numpy((drawn >= self.share).view(np.uint8)).view(x.shape)
        return x * kept.to(x.dtype) * (65_536 / (65_536 - self.share))


class Training:
    """A unit in training, and its best epoch so far."""

    def __init__(self, plants: Plants, network: Network, unit: Unit) -> None:
        self.plants, self.network, self.unit = plants, network, unit
        self.settings = plants.course.settings
        self.master = Master(network, self.settings.precision)
        self.adamw = torch.optim.AdamW(
            [self.master.flat], weight_decay=self.settings.weight_decay, fused=True
        )
        self.order = np.random.default_rng([unit.seed, 0])
        self.dropout = Dropout(self.settings.dropout, unit.seed)
        self.pos_weight = torch.tensor(self.settings.pos_weight)
        self.epoch, self.loss = 0, inf
        self.state: dict[str, Tensor] = {}
        self.history: dict[str, list[float]] = {"train_loss": [], "val_loss": []}

    def train(self, advance: Advance) -> None:
        """All epochs, or as many as patience allows."""
        epochs, patience = self.settings.epochs, self.settings.patience
        for epoch in range(epochs):
            self._pass(learning_rate(self.settings, epoch))
            self._validate(epoch + 1)
            if patience and epoch + 1 - self.epoch >= patience:
                advance(epochs - epoch)
                break
            advance(1)
        if not self.state:
            raise HeadError(
                f"fold {self.unit.fold.name}, seed {self.unit.seed}: the validation loss was never "
                "finite; lower head.lr, and see that validation samples have scored steps."
            )

    def _pass(self, lr: float) -> None:
        """One pass over the training rows in a new order."""
        self.adamw.param_groups[0]["lr"] = lr
        rows, size = self.order.permutation(self.unit.fold.train), self.settings.batch_size
        losses = [self.step(rows[start : start + size]) for start in range(0, len(rows), size)]
        total, count = np.sum(losses, 0)
        self.history["train_loss"].append(float(total / count))

    def step(self, rows: Rows) -> tuple[float, int]:
        """The loss summed over the scored steps of some rows, and how many there are."""
        steps = self.plants.packed(rows)
        count = int(steps.scored.sum())
        if not count:
            return 0.0, 0
        total = self._loss(steps, self.dropout)
        self.master.differentiate(total / count)
        nn.utils.clip_grad_norm_([self.master.flat], self.settings.clip)
        self.adamw.step()
        self.master.refresh()
        return total.item(), count

    def _loss(self, steps: Steps, keep: Keep) -> Tensor:
        """Binary cross-entropy, summed over the scored steps."""
        batch = self.plants.batch(steps)
        z = self.network(batch, keep)
        losses = nn.functional.binary_cross_entropy_with_logits(
            z, self.plants.labels(steps), pos_weight=self.pos_weight, reduction="none"
        )
        return (losses * torch.from_numpy(steps.scored)).sum()

    @torch.no_grad()
    def _validate(self, epoch: int) -> None:
        """Note how the network does after an epoch, and keep what is worth keeping."""
        total, count = 0.0, 0
        for rows in _parts(self.unit.fold.val):
            steps = self.plants.packed(rows)
            total += self._loss(steps, everything).item()
            count += int(steps.scored.sum())
        loss = total / count if count else nan
        self.history["val_loss"].append(loss)
        last = epoch == self.settings.epochs
        if loss < self.loss if self.settings.patience else last:
            self.epoch, self.loss = epoch, loss
            self.state = self.master.state()


def _weights(state: Mapping[str, Tensor], plants: Plants) -> dict[str, NDArray[Any]]:
    """All that `predict` needs; the settings as the bytes of their JSON."""
    weights: dict[str, NDArray[Any]] = {name: tensor.numpy() for name, tensor in state.items()}
    for name, scaling in plants.scaling.items():
        weights |= {f"{name}.mean": scaling.mean, f"{name}.scale": scaling.scale}
    spelt = json.dumps(asdict(plants.course.settings)).encode()
    return weights | {"settings": np.frombuffer(spelt, np.uint8)}


def network_of(weights: Mapping[str, NDArray[Any]], course: Course) -> tuple[Network, Plants]:
    """The network that weights describe, fp32, and the samples under its scaling."""
    scaling = {
        name: Scaling(weights[f"{name}.mean"], weights[f"{name}.scale"]) for name in course.measured
    }
    network = Network(course.settings, course.widths)
    network.load_state_dict(
        {name: torch.from_numpy(np.array(weights[name])) for name in network.state_dict()}
    )
    return network, Plants(course, scaling)


@torch.no_grad()
def logits(network: Network, plants: Plants, rows: Rows) -> NDArray[np.float32]:
    """`(0, z)` of every step `[n * T, 2]`, fp32: their softmax is the sigmoid of z."""
    z = [network(plants.batch(plants.all_steps(part))).reshape(-1) for part in _parts(rows)]
    flat = torch.cat([*z, torch.empty(0)]).numpy()
    return np.stack([np.zeros_like(flat), flat], 1)


def _parts(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
