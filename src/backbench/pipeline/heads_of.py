"""The trained heads that runs hold."""

from collections.abc import Iterable
from typing import Any

from backbench.pipeline.train_fold import HEADS
from backbench.runs import Run, Tracker, tags

Heads = dict[tuple[int, int], dict[str, Any]]


def heads_of(runs: Iterable[Run]) -> Heads:
    """Arrays of each unit by (seed, fold); of two runs that hold a unit the later one counts.

    Args:
        runs: train_fold runs, oldest first.
    """
    from safetensors.numpy import load_file

    heads: Heads = {}
    for run in runs:
        of_run: Heads = {}
        for key, array in load_file(Tracker().download(run, HEADS)).items():
            fold, _, name = key.partition("/")
            of_run.setdefault((int(run.tags[tags.SEED]), int(fold)), {})[name] = array
        heads |= of_run
    return heads
