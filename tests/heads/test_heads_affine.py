"""Logits of linear heads, on features that may be too many to copy."""

from typing import Any

import numpy as np
import pytest

from backbench.heads import Problem, affine


class Watched(np.ndarray):
    """Features that note how many rows are taken from them at once."""

    most = 0

    def __getitem__(self, key: Any) -> Any:
        taken = super().__getitem__(key)
        Watched.most = max(Watched.most, len(taken))
        return taken


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_logits_of_some_rows_are_those_of_a_copy_of_them(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(affine, "ROWS", 7)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5)).astype(np.float16)
    weights = {
        "mean": rng.normal(size=5),
        "scale": rng.normal(size=5),
        "weight": rng.normal(size=(5, 3)),
        "bias": rng.normal(size=3),
    }
    rows = rng.permutation(80)[:count]
    problem = Problem(X.view(Watched), rng.integers(0, 3, 80), 3)
    found = affine.of_rows(affine.predict, weights, problem, rows)
    assert np.array_equal(found, affine.predict(weights, X[rows]))
    assert found.shape == (count, 3)
    assert Watched.most <= 7
