"""Where units lie side by side: a fold always in the same slot of a block of a fixed width.

A unit alone then goes through the same arithmetic, on matrices of the same shape, as among all
others, so it gets the same numbers, and no near-tie between two epochs can fall differently.
"""

from collections.abc import Iterable
from math import ceil

from backbench.folds import Fold
from backbench.heads.unit import Problem

Slots = tuple[Fold | None, ...]


def width(problem: Problem, most: int, slot_bytes: int, memory_budget: int) -> int:
    """Slots a block, at most `most`; a matter of the plan and the budget, not of the units.

    Half of the budget is for one block.
    """
    affordable = max(1, memory_budget // (2 * slot_bytes))
    most = min(most, affordable)
    if not problem.folds:
        return most
    return ceil(problem.folds / ceil(problem.folds / most))


def blocks(folds: Iterable[Fold], width: int) -> list[Slots]:
    """Folds by slot, None where a fold was not asked for; blocks with no fold are left out."""
    by_index = {fold.index: fold for fold in folds}
    numbers = sorted({index // width for index in by_index})
    return [tuple(by_index.get(n * width + slot) for slot in range(width)) for n in numbers]
