"""Weights of groups: seeded bootstrap draws and the jackknife, in chunks of bounded memory."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backbench.metrics.evidence import Evaluator

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_JACKKNIFE_UNITS = 1_000
_WEIGHTS_AT_ONCE = 1 << 18  # floats; the working set of a chunk stays in the cache


def bootstrap(
    evaluators: Sequence[Evaluator], groups: int, *, draws: int, seed: int
) -> NDArray[np.float64]:
    """Values of the evaluators on the same draws of `groups` groups with replacement `[K, B]`."""
    values = np.empty((len(evaluators), draws))
    start = 0
    with _one_core():
        for weights in bootstrap_weights(groups, draws, seed):
            stop = start + len(weights)
            for row, evaluate in zip(values, evaluators, strict=True):
                row[start:stop] = evaluate(weights)
            start = stop
    return values


def bootstrap_weights(groups: int, draws: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each group was drawn, float32 `[b, G]`, b draws at a time."""
    random = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // groups)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = random.integers(0, groups, (rows, groups))
        drawn += np.arange(rows)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups)
        # The draws of a group lie together, as they do in the sums made with them.
        yield counts.reshape(rows, groups).astype(np.float32, order="F")


def pseudo_values(evaluators: Sequence[Evaluator], groups: int) -> NDArray[np.float64]:
    """Jackknife pseudo-values `[K, U]`: their mean is the value, their scatter its uncertainty.

    A unit is a group or, where there are more than 1,000, a seeded block of them. A unit without
    which the metric is undefined gets the value itself.
    """
    units = min(groups, _JACKKNIFE_UNITS)
    unit = np.random.default_rng(0).permutation(groups) % units if units < groups else _own(groups)
    left_out = np.empty((len(evaluators), units))
    step = max(1, _WEIGHTS_AT_ONCE // groups)
    with _one_core():
        for start in range(0, units, step):
            numbers = np.arange(start, min(start + step, units))
            weights = (unit != numbers[:, None]).astype(np.float64)
            for row, evaluate in zip(left_out, evaluators, strict=True):
                row[numbers] = evaluate(weights)
    whole = np.array([evaluate(np.ones((1, groups))) for evaluate in evaluators])
    return np.where(np.isnan(left_out), whole, units * whole - (units - 1) * left_out)


def _one_core() -> AbstractContextManager[object]:
    """Products of NumPy on one core.

    Those of an evaluator are small: threads gain nothing, and where another process wants a core,
    waiting for each other makes them twenty times as long.
    """
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _own(groups: int) -> NDArray[np.int64]:
    return np.arange(groups, dtype=np.int64)
