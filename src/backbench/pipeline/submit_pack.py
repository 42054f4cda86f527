"""Commands packed into tasks of job arrays: every missing unit once, within the queue's caps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

from backbench.pipeline.units import spell, unspell

T = TypeVar("T")

EXTRACT, TRAIN, EVALUATE, BOARD = "extract", "train-fold", "evaluate", "leaderboard"


class Item(NamedTuple):
    """One thing that is there or missing: features, a unit, a summary or the board."""

    step: str
    backbone: str = ""
    seed: int = -1
    fold: int = -1


@dataclass(frozen=True)
class Command:
    """A public command and what will be there once it has succeeded.

    Attributes:
        step: `extract`, `train-fold`, `evaluate` or `leaderboard`.
        line: as a person would type it.
        backbone: `clip` or `clip=checkpoint`; empty for the leaderboard.
        seeds, folds: the units it trains, as seeds x folds.
    """

    step: str
    line: str
    backbone: str = ""
    seeds: tuple[int, ...] = ()
    folds: str = ""

    @property
    def items(self) -> tuple[Item, ...]:
        """What it brings."""
        if self.step != TRAIN:
            return (Item(self.step, self.backbone),)
        folds = sorted(unspell(self.folds))
        return tuple(Item(TRAIN, self.backbone, s, f) for s in self.seeds for f in folds)


@dataclass(frozen=True)
class Task:
    """One task of an array: its phases run one after the other, and a failed one is the last."""

    phases: tuple[tuple[Command, ...], ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """Those of all phases, in order."""
        return tuple(chain.from_iterable(self.phases))


@dataclass(frozen=True)
class Stage:
    """One job array; the next stage begins when every task of it has succeeded."""

    name: str
    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, name: str, commands: Iterable[Sequence[Command]]) -> "Stage":
        """One task for each sequence of commands."""
        return cls(name, tuple(Task((tuple(each),)) for each in commands))

    def packed(self, count: int) -> "Stage":
        """The same commands in at most `count` tasks, neighbours together."""
        packs = cut(self.tasks, count)
        return Stage(self.name, tuple(map(_one_after_the_other, packs)))

    def then(self, later: "Stage") -> "Stage":
        """One task that does all of this stage, and then all of a later one."""
        (mine,), (theirs,) = self.packed(1).tasks, later.packed(1).tasks
        return Stage(f"{self.name}-{later.name}", (Task(mine.phases + theirs.phases),))


def _one_after_the_other(tasks: Sequence[Task]) -> Task:
    """Tasks of one stage have the same number of phases: phase by phase."""
    phases = zip(*(task.phases for task in tasks), strict=True)
    return Task(tuple(tuple(chain.from_iterable(phase)) for phase in phases))


def rectangles(
    units: Iterable[tuple[int, int]],
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Units (seed, fold) as disjoint seeds x folds, which is how a command names them."""
    folds_of: dict[int, set[int]] = {}
    for seed, fold in units:
        folds_of.setdefault(seed, set()).add(fold)
    seeds_of: dict[tuple[int, ...], list[int]] = {}
    for seed, folds in folds_of.items():
        seeds_of.setdefault(tuple(sorted(folds)), []).append(seed)
    return [(tuple(seeds), folds) for folds, seeds in seeds_of.items()]


def shares(units: Iterable[tuple[int, int]], count: int) -> list[Sequence[tuple[int, int]]]:
    """Units (seed, fold) in at most `count` nearly equal shares; all seeds of a fold together."""
    return cut(sorted(units, key=lambda unit: (unit[1], unit[0])), count)


def cut(things: Sequence[T], parts: int) -> list[Sequence[T]]:
    """At most `parts` neighbouring pieces whose lengths differ by one at most; none is empty."""
    parts = min(parts, len(things))
    bounds = [len(things) * i // parts for i in range(parts + 1)] if parts else []
    return [things[low:high] for low, high in pairwise(bounds)]


def fitted(stages: Sequence[Stage], cap: int | None, largest: int | None) -> tuple[Stage, ...]:
    """The same commands in no more tasks than the queue takes.

    Args:
        stages: in the order they depend on each other.
        cap: tasks that may be submitted in all (every task of an array counts); None for any.
        largest: tasks one array may have (`MaxArraySize`); None for any.
    """
    made = [stage.packed(largest) if largest else stage for stage in stages]
    if cap is None:
        return tuple(made)
    while len(made) > max(cap, 1):
        made[:2] = [made[0].then(made[1])]
    sizes = _within(cap, [len(stage.tasks) for stage in made])
    return tuple(stage.packed(size) for stage, size in zip(made, sizes, strict=True))


def _within(cap: int, wanted: Sequence[int]) -> list[int]:
    """Take from the largest, of equals from what had least, until the sum is at most `cap`."""
    sizes = list(wanted)
    while sum(sizes) > max(cap, len(sizes)):
        largest = max(range(len(sizes)), key=lambda i: (sizes[i], -wanted[i]))
        sizes[largest] -= 1
    return sizes


def train_commands(
    line: Callable[[tuple[int, ...], str], str],
    backbone: str,
    units: Iterable[tuple[int, int]],
    count: int,
) -> list[list[Command]]:
    """Commands that train units, one list for each of at most `count` tasks."""
    return [
        [
            Command(TRAIN, line(seeds, spell(folds)), backbone, seeds, spell(folds))
            for seeds, folds in rectangles(share)
        ]
        for share in shares(units, count)
    ]
