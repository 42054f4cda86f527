"""One board at a time decides who is champion."""

from collections.abc import Iterator
from contextlib import contextmanager

from backbench.pipeline.console import say
from backbench.runs.registry import contest_lock

_SOON = 1.0
"""Seconds after which it is said that one waits."""


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Hold the contest of a model, alone on this machine; that another does is told."""
    lock = contest_lock(name)
    try:
        lock.acquire(timeout=_SOON)
    except TimeoutError:
        say(f"waiting   another board of '{name}' decides who is champion")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
