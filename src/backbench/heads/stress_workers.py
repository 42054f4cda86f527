"""A process a core, each training one unit after another on one thread.

Threads of one process would share Python's lock, which a step takes hundreds of times. Processes
start afresh (`spawn`), so nothing of torch's threads is inherited, and they read the features from
one memory map.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

from backbench.errors import HeadError, StorageError
from backbench.files.room import reserve
from backbench.files.stopping import leave_to_parent
from backbench.heads.stress_data import Course
from backbench.heads.stress_unit import train_unit
from backbench.heads.unit import Floats, Means, Unit, UnitResult

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

_BLOCK = 1024
_GLANCE = 0.2
"""Seconds between two looks at how far the workers are, and at whether to stop."""
_PATIENCE = 2.0
"""Seconds in which a worker that is told to stop ends by itself."""


@dataclass(frozen=True)
class _Desk:
    """What a worker works with: the course, a count of epochs done, and when to stop."""

    course: Course
    done: "Synchronized[int]"
    stop: Event


class _StoppedError(Exception):
    """The parent wants no more."""


_DESK: list[_Desk] = []


def train_apart(
    course: Course, units: Sequence[Unit], means: Means, workers: int
) -> list[UnitResult]:
    """Train units in `workers` processes; results in the order of `units`.

    Raises:
        HeadError: a worker was ended from outside.
        BackbenchError: what a worker raised.
    """
    context = get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    with TemporaryDirectory(prefix="backbench-") as folder:
        path = _write(course.X, Path(folder) / "X.npy")
        given = (replace(course, X=course.X[:0]), path, done, stop)
        pool = ProcessPoolExecutor(workers, context, _begin, given)
        try:
            futures = [pool.submit(_work, unit) for unit in units]
            return _watch(futures, done, means)
        except BrokenProcessPool as error:
            raise HeadError(
                "a process that trains was ended from outside: give it more memory, or fewer cores "
                "(OMP_NUM_THREADS); a script of your own has to call this under "
                '`if __name__ == "__main__":`.'
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _watch(
    futures: "Sequence[Future[UnitResult]]", done: "Synchronized[int]", means: Means
) -> list[UnitResult]:
    """Results in order; the first exception at once."""
    told, waiting = 0, set(futures)
    while waiting:
        finished, waiting = wait(waiting, _GLANCE)
        for future in finished:
            future.result()
        now = done.value
        means.advance(now - told)
        told = now
    return [future.result() for future in futures]


def _write(X: Floats, path: Path) -> Path:
    """As float32, block by block.

    Raises:
        StorageError: the disk has no room for it.
    """
    try:
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=X.shape)
        with path.open("r+b") as file:
            reserve(file, path.stat().st_size)
    except OSError as error:
        raise StorageError(
            f"the features do not fit into {path.parent} ({error.strerror}): free space there, or "
            "choose another folder with TMPDIR."
        ) from error
    for start in range(0, len(X), _BLOCK):
        out[start : start + _BLOCK] = X[start : start + _BLOCK]
    out.flush()
    return path


def _begin(course: Course, path: Path, done: "Synchronized[int]", stop: Event) -> None:
    """What a worker does first."""
    import torch

    leave_to_parent()
    Thread(target=_end_when_told, args=(path.parent, stop), daemon=True).start()
    torch.set_num_threads(1)
    _DESK.append(_Desk(replace(course, X=np.load(path, mmap_mode="c")), done, stop))


def _end_when_told(folder: Path, stop: Event) -> None:
    """End with the parent, however that ends, and soon after it wants no more.

    A worker that was killed may have held a lock that this one waits for, for ever.
    """
    parent = parent_process()
    while parent is not None and parent.is_alive() and not stop.is_set():
        parent.join(_GLANCE)
    if parent is not None:
        parent.join(_PATIENCE)
        if not parent.is_alive():  # it could not clear up
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


def _work(unit: Unit) -> UnitResult:
    desk = _DESK[0]

    def advance(epochs: int) -> None:
        with desk.done.get_lock():
            desk.done.value += epochs
        if desk.stop.is_set():
            raise _StoppedError

    return train_unit(desk.course, unit, advance)
