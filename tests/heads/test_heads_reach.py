"""A head that cannot leave its random start is known before it is trained."""

from math import inf

import numpy as np
import pytest

from backbench.folds import Fold
from backbench.heads import Problem, Unit, reach, train


def accuracy(table):
    """On 96 rows of 8 columns, of which the first says the class."""
    rng, rows = np.random.default_rng(0), np.arange(96)
    X = rng.normal(size=(96, 8)).astype(np.float32)
    X[:, 0] = 2 * (rows % 2) + 0.3 * rng.normal(size=96)
    units = [Unit(Fold(0, "0", rows[:64], rows[64:80], rows[80:]), seed) for seed in range(4)]
    results = train(table, Problem(X, rows % 2, 2), units)
    return np.mean([(r.logits.argmax(1) == rows[80:] % 2).mean() for r in results])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_what_cannot_reach_far_stays_near_chance_and_what_can_learns(kind):
    short, long = {"kind": kind, "lr": 1e-4}, {"kind": kind, "lr": 3e-2}
    assert (reach(short, 96, 8) < 1, reach(long, 96, 8) < 1) == (True, False)
    assert accuracy(long) > accuracy(short) + 0.1


def test_heads_that_do_not_descend_reach_everything():
    assert {reach({"kind": kind}, 96, 8) for kind in ("logreg", "ridge", "knn")} == {inf}
