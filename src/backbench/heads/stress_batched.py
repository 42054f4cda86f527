"""Many units of the `stress` head as one computation, for devices with more arithmetic than a core.

Each unit has a row of one matrix of parameters and batches of its own; `vmap` makes one product of
a layer's products of all units. On a CPU that gains nothing, as one unit keeps a core busy.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.func import functional_call, vmap

from backbench.heads.stress_data import Course, Plants, Rows, Tensor, Values
from backbench.heads.stress_network import Keep, everything
from backbench.heads.stress_unit import Best, entropies, learning_rate, result_of, seeded
from backbench.heads.stress_weights import Master
from backbench.heads.unit import Means, Unit, UnitResult

_COPIES = 8
"""Arrays of the size of the parameters: gradient, moments, best epoch, and what is cast."""
_ACTIVATIONS = 64
"""Vectors of the network's width that are kept for the gradient, at each step of a sample."""


def train_batched(course: Course, units: Sequence[Unit], means: Means) -> list[UnitResult]:
    """Train units as many at once as memory allows; results in the order of `units`."""
    plants = Plants(course, means.device)
    results: dict[int, UnitResult] = {}
    for numbers in _cohorts(units, _affordable(plants, means)):
        chosen = [units[number] for number in numbers]
        results |= zip(numbers, _Cohort(plants, chosen).train(means), strict=True)
    return [results[number] for number in range(len(units))]


def _cohorts(units: Sequence[Unit], most: int) -> Iterator[list[int]]:
    """Numbers of units with equally many training rows, whose batches are of one shape."""
    sizes = [unit.fold.train.size for unit in units]
    for size in sorted(set(sizes)):
        alike = [number for number, other in enumerate(sizes) if other == size]
        for start in range(0, len(alike), most):
            yield alike[start : start + most]


def _affordable(plants: Plants, means: Means) -> int:
    """How many units fit into the memory."""
    course, settings = plants.course, plants.course.settings
    network = seeded(settings, course.widths, 0)
    step = course.picture.shape[2] * course.X.shape[1] * 2 + settings.width * _ACTIVATIONS
    numbers = _COPIES * sum(parameter.numel() for parameter in network.parameters())
    numbers += settings.batch_size * int(plants.kept.max()) * step
    return int(max(1, means.memory // (4 * numbers)))


class _Cohort:
    """Units that train in step; one that is finished is computed on, and counts no more."""

    def __init__(self, plants: Plants, units: Sequence[Unit]) -> None:
        course, device = plants.course, plants.device
        self.plants, self.units, self.settings = plants, units, course.settings
        self.scaling = [course.fit(unit.fold.train) for unit in units]
        scaled = [plants.scaled(scaling) for scaling in self.scaling]
        self.values: Values = {n: torch.stack([v[n] for v in scaled]) for n in course.measured}
        networks = [seeded(course.settings, course.widths, unit.seed) for unit in units]
        masters = [Master(network, course.settings.precision) for network in networks]
        self.network, self.master = networks[0], masters[0]
        flat = torch.stack([master.flat.detach() for master in masters])
        self.flat = torch.nn.Parameter(flat.to(device))
        self.adamw = torch.optim.AdamW([self.flat], weight_decay=self.settings.weight_decay)
        self.orders = [np.random.default_rng([unit.seed, 0]) for unit in units]
        self.dropout = _Dropout(self.settings.dropout, [unit.seed for unit in units], device)
        self.longest = int(plants.kept.max())
        self.best = [Best() for _ in units]

    def train(self, means: Means) -> list[UnitResult]:
        """All epochs, or as many as the patience of all units allows."""
        for epoch in range(self.settings.epochs):
            self._pass(learning_rate(self.settings, epoch))
            self._note(self._validate(), means)
            if all(best.finished(self.settings) for best in self.best):
                break
        told = zip(self.units, self.best, self.scaling, strict=True)
        return [result_of(self.plants.course, *of_unit) for of_unit in told]

    def _note(self, losses: Sequence[float | None], means: Means) -> None:
        for number, (best, loss) in enumerate(zip(self.best, losses, strict=True)):
            if best.finished(self.settings):
                continue
            if best.note(loss, self.settings):
                best.state = self.master.named(self.flat.detach()[number].clone())
            over = best.finished(self.settings)
            means.advance(self.settings.epochs - best.epochs + 1 if over else 1)

    def _pass(self, lr: float) -> None:
        """One pass over the training rows of each unit, in an order of its own."""
        self.adamw.param_groups[0]["lr"] = lr
        pairs = zip(self.orders, self.units, strict=True)
        rows = np.stack([order.permutation(unit.fold.train) for order, unit in pairs])
        size = self.settings.batch_size
        parts = [self._step(rows[:, s : s + size]) for s in range(0, rows.shape[1], size)]
        total, count = (torch.stack(part).sum(0).tolist() for part in zip(*parts, strict=True))
        for best, loss, steps in zip(self.best, total, count, strict=True):
            if not best.finished(self.settings):
                best.train_loss.append(loss / steps)

    def _step(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Train on rows of each unit `[U, B]`; loss summed over scored steps, and their number."""
        kept = self.dropout.draw(self._drawn(rows.shape[1]))
        total, count = self._losses(rows, np.ones(rows.shape, np.bool_), kept)
        self.flat.grad = torch.autograd.grad((total / count.clamp_min(1)).sum(), self.flat)[0]
        norm = self.flat.grad.norm(dim=1, keepdim=True)
        self.flat.grad *= (self.settings.clip / (norm + 1e-6)).clamp_max(1)
        self.adamw.step()
        return total.detach(), count

    @torch.no_grad()
    def _validate(self) -> list[float | None]:
        """Mean over the scored steps of each unit's validation rows; None where there are none."""
        most = max(1, *(unit.fold.val.size for unit in self.units))
        rows, real = np.zeros((2, len(self.units), most), np.int64)
        for number, unit in enumerate(self.units):
            rows[number, : unit.fold.val.size] = unit.fold.val
            real[number, : unit.fold.val.size] = 1
        losses = self._losses(rows, real.astype(np.bool_), None)
        pairs = zip(*(part.tolist() for part in losses), strict=True)
        return [total / count if count else None for total, count in pairs]

    def _losses(self, rows: Rows, real: Rows, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Loss of each unit summed over the scored steps of its real rows, and how many."""

        def one(
            named: dict[str, Tensor],
            values: Values,
            rows: Tensor,
            real: Tensor,
            kept: Tensor | None,
        ) -> tuple[Tensor, Tensor]:
            steps = self.plants.packed(rows, self.longest)
            keep: Keep = everything if kept is None else self.dropout.keep(kept)
            z = functional_call(self.network, named, (self.plants.batch(steps, values), keep))
            scored = steps.scored & real[:, None]
            losses = entropies(z, self.plants.labels(steps), self.settings) * scored
            return losses.sum(), scored.sum()

        many = vmap(one, (0, 0, 0, 0, None if kept is None else 0))
        named = self.master.working(self.flat)
        found: tuple[Tensor, Tensor] = many(
            named, self.values, self._put(rows), self._put(real), kept
        )
        return found

    @torch.no_grad()
    def _drawn(self, rows: int) -> int:
        """How many activations a unit's dropout decides on in a step of so many rows."""
        sizes: list[int] = []

        def count(x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return x

        steps = self.plants.packed(self._put(np.zeros(rows, np.int64)), self.longest)
        batch = self.plants.batch(steps, {name: v[0] for name, v in self.values.items()})
        functional_call(self.network, self.master.working(self.flat[0]), (batch, count))
        return sum(sizes)

    def _put(self, array: Rows) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.plants.device)


class _Dropout:
    """Which activations each unit keeps, drawn on the device; units of a seed draw alike."""

    def __init__(self, share: float, seeds: Sequence[int], device: str) -> None:
        self.share, self.device = share, device
        self.generators = {s: torch.Generator(device).manual_seed(s) for s in sorted(set(seeds))}
        places = {seed: place for place, seed in enumerate(self.generators)}
        self.place = torch.tensor([places[seed] for seed in seeds], device=device)

    def draw(self, count: int) -> Tensor | None:
        """Whether each of `count` activations is kept `[U, count]`; None where all are."""
        if not self.share:
            return None
        drawn = [
            torch.rand(count, generator=generator, device=self.device) >= self.share
            for generator in self.generators.values()
        ]
        return torch.stack(drawn)[self.place]

    def keep(self, kept: Tensor) -> Keep:
        """Dropout that goes through what was drawn."""
        at = 0

        def apply(x: Tensor) -> Tensor:
            nonlocal at
            part = kept[at : at + x.numel()].view(x.shape)
            at += x.numel()
            return x * part.to(x.dtype) / (1 - self.share)

        return apply
