"""The `stress` head: a transformer over pictures and measurements of samples watched over time.

A unit is one small network, and a step of it keeps a core busy, so units train side by side, a
core each, and none knows of the others: a unit trained alone gets the very same numbers. Initial
weights, the order of samples and dropout are those of the seed, whatever the fold.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import cos, inf, nan, pi
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from backbench.errors import HeadError, unknown
from backbench.heads.settings import StressSettings
from backbench.heads.stress_data import Pictures, Plants, Scaling, Steps, widths
from backbench.heads.stress_network import IMAGE, Keep, Network, everything
from backbench.heads.threads import each
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation
from backbench.samples.series import Series
from backbench.tasks.strict import build

Rows = NDArray[np.int64]
Tensor = torch.Tensor
_ROWS = 64
"""Samples that are looked at together outside training."""
_SEEDING = Lock()


def train(
    problem: Problem, units: Sequence[Unit], settings: StressSettings, *, means: Means
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    series = _series(problem, settings)
    if settings.patience:
        need_validation(units, "the epoch", "head.patience = 0")
    pictures = Pictures(problem.X, means.memory)
    means.expect(len(units) * settings.epochs)

    def one(unit: Unit) -> UnitResult:
        return _train(series, pictures, settings, unit, means)

    return each(one, units, workers=means.workers)


def predict(weights: Mapping[str, NDArray[Any]], X: Floats, series: Series) -> NDArray[np.float32]:
    """Logits `[N * T, 2]` of every step, fp32; see `backbench.heads.predict`."""
    settings = build(StressSettings, json.loads(weights["settings"].tobytes()), "head.")
    scaling = {
        name: Scaling(weights[f"{name}.mean"], weights[f"{name}.scale"])
        for name in settings.modalities
        if name != IMAGE
    }
    pictures = Pictures(X, 0)
    network = Network(settings, widths(series, pictures))
    network.load_state_dict(
        {name: torch.from_numpy(np.array(weights[name])) for name in network.state_dict()}
    )
    return _logits(network, Plants(series, pictures, scaling, settings), np.arange(len(series)))


def learning_rate(settings: StressSettings, epoch: int) -> float:
    """Of an epoch, from 0: a line up to `lr`, then a cosine down to `min_lr` after the last."""
    warm, begin = settings.warmup_epochs, settings.warmup_start
    if epoch < warm:
        return settings.lr * (begin + (1 - begin) * epoch / warm)
    done = (epoch - warm) / (settings.epochs - warm)
    return settings.min_lr + (settings.lr - settings.min_lr) * 0.5 * (1 + cos(pi * done))


def seeded(settings: StressSettings, sizes: Mapping[str, int], seed: int) -> Network:
    """A network with the initial weights of a seed; torch's own generator is left as it was."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(settings, sizes)


class Dropout:
    """Leaves out a share of activations, drawn by a generator of its own."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.rng = share, np.random.default_rng([seed, 1])

    def __call__(self, x: Tensor) -> Tensor:
        """The activations that are kept, scaled up."""
        if not self.share:
            return x
        kept = self.rng.random(x.numel(), np.float32) >= self.share
        factors = torch.from_numpy(kept).view(x.shape).to(x.dtype) / (1 - self.share)
        return x * factors


class _Run:
    """A unit in training, and its best epoch so far."""

    def __init__(self, plants: Plants, network: Network, unit: Unit) -> None:
        self.plants, self.network, self.unit = plants, network, unit
        self.settings = plants.settings
        self.adamw = torch.optim.AdamW(
            network.parameters(), weight_decay=self.settings.weight_decay, fused=True
        )
        self.order = np.random.default_rng([unit.seed, 0])
        self.dropout = Dropout(self.settings.dropout, unit.seed)
        self.pos_weight = torch.tensor(self.settings.pos_weight)
        self.epoch, self.loss = 0, inf
        self.state: dict[str, Tensor] = {}
        self.history: dict[str, list[float]] = {"train_loss": [], "val_loss": []}

    def train(self, means: Means) -> None:
        """All epochs, or as many as patience allows."""
        epochs, patience = self.settings.epochs, self.settings.patience
        for epoch in range(epochs):
            self._pass(learning_rate(self.settings, epoch))
            self._validate(epoch + 1)
            if patience and epoch + 1 - self.epoch >= patience:
                means.advance(epochs - epoch)
                break
            means.advance(1)
        if not self.state:
            raise HeadError(
                f"fold {self.unit.fold.name}, seed {self.unit.seed}: the loss was never finite; "
                "lower head.lr, and see that validation samples have scored steps."
            )
        self.network.load_state_dict(self.state)

    def _pass(self, lr: float) -> None:
        """One pass over the training rows in a new order."""
        self.adamw.param_groups[0]["lr"] = lr
        rows, size = self.order.permutation(self.unit.fold.train), self.settings.batch_size
        losses = [self._step(rows[start : start + size]) for start in range(0, len(rows), size)]
        total, count = np.sum(losses, 0)
        self.history["train_loss"].append(float(total / count))

    def _step(self, rows: Rows) -> tuple[float, int]:
        """The loss summed over the scored steps of some rows, and how many there are."""
        steps = self.plants.packed(rows)
        count = int(steps.scored.sum())
        if not count:
            return 0.0, 0
        total = self._loss(rows, steps, self.dropout)
        self.adamw.zero_grad()
        (total / count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.adamw.step()
        return total.item(), count

    def _loss(self, rows: Rows, steps: Steps, keep: Keep) -> Tensor:
        """Binary cross-entropy, summed over the scored steps."""
        batch = self.plants.batch(rows, steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bf16"):
            z = self.network(batch, keep)
        losses = nn.functional.binary_cross_entropy_with_logits(
            z, self.plants.labels(rows, steps), pos_weight=self.pos_weight, reduction="none"
        )
        return (losses * torch.from_numpy(steps.scored)).sum()

    @torch.no_grad()
    def _validate(self, epoch: int) -> None:
        """Note how the network does after an epoch, and keep what is worth keeping."""
        total, count = 0.0, 0
        for rows in _parts(self.unit.fold.val):
            steps = self.plants.packed(rows)
            total += self._loss(rows, steps, everything).item()
            count += int(steps.scored.sum())
        loss = total / count if count else nan
        self.history["val_loss"].append(loss)
        last = epoch == self.settings.epochs
        if loss < self.loss if self.settings.patience else last:
            self.epoch, self.loss = epoch, loss
            self.state = {n: t.clone() for n, t in self.network.state_dict().items()}


def _series(problem: Problem, settings: StressSettings) -> Series:
    """The series of a problem that has what the settings ask for.

    Raises:
        HeadError: more than two classes, or a modality that is not there.
    """
    series = problem.series
    assert series is not None  # `check` saw to it
    if problem.classes != 2:
        raise HeadError(f"the stress head tells 2 classes apart, not {problem.classes}.")
    for name in settings.modalities:
        if name != IMAGE and name not in series.channels:
            raise HeadError(unknown("modality", name, [IMAGE, *series.channels]))
    return series


def _train(
    series: Series, pictures: Pictures, settings: StressSettings, unit: Unit, means: Means
) -> UnitResult:
    scaling = {
        name: Scaling.fit(series.channels[name], unit.fold.train)
        for name in settings.modalities
        if name != IMAGE
    }
    plants = Plants(series, pictures, scaling, settings)
    network = seeded(settings, widths(series, pictures), unit.seed)
    run = _Run(plants, network, unit)
    run.train(means)
    return UnitResult(
        unit,
        _logits(network, plants, unit.fold.test),
        _logits(network, plants, unit.fold.val),
        {"epoch": float(run.epoch), "val_loss": run.loss},
        run.history,
        _weights(network, plants),
    )


def _weights(network: Network, plants: Plants) -> dict[str, NDArray[Any]]:
    """All that `predict` needs; the settings as the bytes of their JSON."""
    weights: dict[str, NDArray[Any]] = {
        name: tensor.numpy().copy() for name, tensor in network.state_dict().items()
    }
    for name, scaling in plants.scaling.items():
        weights |= {f"{name}.mean": scaling.mean, f"{name}.scale": scaling.scale}
    spelt = json.dumps(asdict(plants.settings)).encode()
    return weights | {"settings": np.frombuffer(spelt, np.uint8)}


@torch.no_grad()
def _logits(network: Network, plants: Plants, rows: Rows) -> NDArray[np.float32]:
    """`(0, z)` of every step of the rows, fp32: their softmax is the sigmoid of z."""
    logits = np.zeros((len(rows), len(plants.series.steps), 2), np.float32)
    for start, part in zip(range(0, len(rows), _ROWS), _parts(rows), strict=True):
        batch = plants.batch(part, plants.all_steps(part))
        logits[start : start + _ROWS, :, 1] = network(batch).numpy()
    return logits.reshape(-1, 2)


def _parts(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
