"""How many threads a step is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

from backbench.heads.unit import Problem

SMALL = 2_000_000
"""Features x classes x folds up to which a step takes well under a millisecond."""


@contextmanager
def fitting(problem: Problem) -> Iterator[None]:
    """One thread where steps are small, what torch has otherwise.

    Threads meet at a barrier after every operation. Where an operation takes microseconds and
    another process wants a core, waiting there makes a step ten times as long.
    """
    import torch

    before = torch.get_num_threads()
    width = problem.X.shape[1] * problem.classes * max(1, problem.folds)
    if width <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
