"""Cores go to folds first: a thread works on a block of folds, and waits for nobody.

Threads inside an operation meet at a barrier after each. A step takes a hundred operations of
microseconds, and where another process wants a core, waiting at barriers makes it ten times as
long. A block of folds on one core each has none, and its numbers do not depend on how many cores
there are. Only what is shared by all folds, few large operations, is spread inside.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def using(count: int) -> Iterator[int]:
    """Operations of torch on `count` threads; gives how many it was before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def each(work: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> list[Result]:
    """`work` of every item, `workers` at a time, each on a thread of its own; in order.

    The first exception stops what has not begun and is raised.
    """
    import torch

    if workers <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
