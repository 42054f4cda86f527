"""Small problems with groups, and the folds over them."""

from dataclasses import dataclass

import numpy as np
import pytest

from backbench.folds import Fold
from backbench.heads import Problem, Unit

FAST = {
    "linear": {"kind": "linear", "epochs": 6, "patience": 3, "batch_size": 32, "lr": 0.01},
    "logreg": {"kind": "logreg", "C": [0.01, 0.1, 1.0]},
    "ridge": {"kind": "ridge", "lambdas": [1.0, 10.0, 100.0]},
    "knn": {"kind": "knn", "k": [3, 7, 15]},
    "mlp": {"kind": "mlp", "epochs": 6, "patience": 3, "batch_size": 32, "lr": 0.01, "hidden": 16},
}
"""A quick setting of each head that chooses something on validation."""


@dataclass(frozen=True)
class Case:
    """A problem with its folds."""

    problem: Problem
    folds: tuple[Fold, ...]

    def units(self, *seeds: int) -> list[Unit]:
        return [Unit(fold, seed) for seed in seeds or (0,) for fold in self.folds]


def make_case(*, n=240, d=24, classes=4, groups=8, seed=0, validation=True):
    """Groups with an effect of their own, columns of different scale, one constant column."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    group = rng.permutation(np.arange(n) % groups)
    centres, effects = rng.normal(size=(classes, d)), rng.normal(size=(groups, d))
    X = centres[y] + 0.5 * effects[group] + 1.5 * rng.normal(size=(n, d))
    X = X * rng.uniform(0.1, 10, d) + rng.uniform(-50, 50, d)
    X[:, 3] = 7.25
    folds = tuple(_fold(i, group, groups, validation=validation) for i in range(groups))
    return Case(Problem(X.astype(np.float32), y, classes, folds=groups), folds)


def _fold(i, group, groups, *, validation):
    val = group == (i + 1) % groups if validation else np.zeros(len(group), bool)
    test = group == i
    train, val, test = (np.flatnonzero(rows) for rows in (~test & ~val, val, test))
    return Fold(i, f"g{i}", train, val, test)


def softmax(logits):
    """Probabilities `[n, C]`, float64."""
    z = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def accuracy(case, results):
    """Share of test rows that are right, over all results."""
    right = [(r.logits.argmax(1) == case.problem.y[r.unit.fold.test]) for r in results]
    return float(np.concatenate(right).mean())


@pytest.fixture
def case():
    return make_case()


@pytest.fixture(params=sorted(FAST))
def table(request):
    """A quick setting of each head."""
    return FAST[request.param]
