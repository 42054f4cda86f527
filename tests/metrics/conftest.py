from collections.abc import Callable

import numpy as np
import pytest

from backbench.metrics import Predictions


def make_predictions(
    *, samples=60, groups=12, classes=3, seeds=2, folds=4, skill=1.0, seed=0, truth=0, ties=False
) -> Predictions:
    """Random scores; rows of equal `truth` share samples, groups, folds and labels."""
    data, own = np.random.default_rng(truth), np.random.default_rng(seed)
    group = np.arange(samples) % groups
    y = data.integers(0, classes, samples)
    y[:classes] = np.arange(classes)
    logits = own.normal(size=(seeds, samples, classes)) + skill * np.eye(classes)[y]
    p = np.exp(np.round(logits) if ties else logits)
    p /= p.sum(axis=2, keepdims=True)
    return Predictions(
        sample_id=np.array([f"s{i:03d}" for i in range(samples)]),
        group=np.array([f"g{g:03d}" for g in group]),
        fold=group % folds,
        y_true=y,
        probabilities=p,
        seeds=tuple(range(seeds)),
        classes=tuple("abcdefghij"[:classes]),
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., Predictions]:
    return make_predictions
