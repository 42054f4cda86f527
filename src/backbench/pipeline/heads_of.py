"""The trained heads that runs hold."""

from collections.abc import Iterable
from typing import Any

from backbench.files.arrays import unpack
from backbench.pipeline.train_fold import WEIGHTS
from backbench.runs import Run, Tracker, tags

Heads = dict[tuple[int, int], dict[str, Any]]


def heads_of(runs: Iterable[Run]) -> Heads:
    """Arrays of each unit by (seed, fold); of two runs that hold a unit the later one counts.

    Args:
        runs: train_fold runs, oldest first.
    """
    heads: Heads = {}
    for run in runs:
        seed = int(run.tags[tags.SEED])
        of_run = unpack(Tracker().download(run, WEIGHTS))
        heads |= {(seed, int(fold)): weights for fold, weights in of_run.items()}
    return heads
