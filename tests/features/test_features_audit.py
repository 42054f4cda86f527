"""Suspicious features are counted and named."""

import io
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from backbench.features import audit, near_duplicates, progress

# The package gives the name `audit` to the function.
MODULE = import_module("backbench.features.audit")


def matrix(rows: int = 30, dim: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def names(count: int) -> list[str]:
    return [f"s{i}" for i in range(count)]


def test_healthy_features_are_clean():
    found = audit(matrix(), names(30))
    assert (found.not_finite, found.constant_columns, len(found.duplicates)) == ((), 0, 0)


def test_rows_with_nan_or_infinity_are_named():
    X = matrix()
    X[3, 1], X[7, 0], X[7, 2] = np.nan, np.inf, np.nan
    found = audit(X, names(30))
    assert found.not_finite == ("s3", "s7")
    assert found.constant_columns == 0


def test_constant_columns_are_counted():
    X = matrix()
    X[:, 2] = 4.0
    assert audit(X, names(30)).constant_columns == 1
    assert audit(np.ones((5, 3), np.float16), names(5)).constant_columns == 3


def test_repeated_rows_are_named_with_the_first_of_their_kind():
    X = matrix()
    X[[9, 20]] = X[4]
    pairs = audit(X, names(30)).duplicates
    assert pairs.to_numpy().tolist() == [["s4", "s9"], ["s4", "s20"]]


def test_minus_zero_repeats_zero():
    X = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)
    assert len(audit(X, names(2)).duplicates) == 1


def test_blocks_do_not_change_what_is_found(monkeypatch):
    X = matrix(50)
    X[40], X[12, 3] = X[1], np.nan
    whole = audit(X, names(50))
    monkeypatch.setattr(MODULE, "_BLOCK_BYTES", 7 * 6 * 4)
    blocks = audit(X, names(50))
    assert blocks.not_finite == whole.not_finite
    assert blocks.duplicates.equals(whole.duplicates)


def folds(count: int, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(count)
    return [(rows[rows % k != i], rows[rows % k == i]) for i in range(k)]


def test_a_pair_across_train_and_test_is_reported_with_its_folds():
    X = matrix()
    X[11] = X[4] * 1.5  # in different folds of 3: 11 % 3 == 2, 4 % 3 == 1
    found = near_duplicates(X, names(30), folds(30, 3), groups=["g"] * 30)
    assert found[["first", "second", "folds"]].to_numpy().tolist() == [["s4", "s11", 2]]
    assert found["cosine"].iloc[0] == pytest.approx(1)
    assert found["same_group"].all()
    assert found.attrs["total"] == 1


def test_a_pair_on_one_side_only_is_no_leak():
    X = matrix()
    X[10] = X[4]  # both in fold 1
    assert near_duplicates(X, names(30), folds(30, 3)).empty


def test_rows_of_zeros_or_nan_are_close_to_nothing():
    X = matrix()
    X[[3, 4]], X[[7, 8]] = 0, np.nan
    assert near_duplicates(X, names(30), folds(30, 3)).empty


def test_identical_features_do_not_fill_the_memory():
    found = near_duplicates(np.ones((300, 4), np.float32), names(300), folds(300, 3), most=10)
    assert len(found) == 10
    assert found.attrs["total"] == 3 * 100 * 100
    assert found.attrs["narrow"]


def test_features_that_all_are_nearly_parallel_are_told_from_many_copies():
    """As of an untrained network, whose mean cosine of distinct pictures was 0.9985."""
    sides = folds(120, 3)
    narrow = near_duplicates(1 + 0.04 * matrix(120), names(120), sides)
    copies = near_duplicates(np.repeat(matrix(24), 5, axis=0), names(120), sides)
    assert min(len(narrow), len(copies)) > 0.01 * 120 * 119 / 2
    assert (narrow.attrs["narrow"], copies.attrs["narrow"]) == (True, False)
    few = np.concatenate([1 + 0.1 * matrix(119), 1 + 0.1 * matrix(119)[:1]])
    assert not near_duplicates(few, names(120), sides).attrs["narrow"]


def test_folds_are_gone_through_again_where_there_are_many_pairs(monkeypatch):
    X, of_all = np.ones((40, 3), np.float32), folds(40, 4)
    whole = near_duplicates(X, names(40), of_all)
    monkeypatch.setattr(MODULE, "_LOOKED_UP", 50)
    monkeypatch.setattr(MODULE, "_PAIR_ROWS", 7)
    parts = near_duplicates(X, names(40), of_all)
    assert parts.attrs["total"] == whole.attrs["total"] == 6 * 10 * 10
    assert set(parts["folds"]) == {2}


def test_what_takes_long_says_how_many_pairs_were_compared(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(MODULE, "_PAIR_ROWS", 7)
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    near_duplicates(matrix(30), names(30), folds(30, 3), console=Console(file=said, width=200))
    assert "near-duplicates, pairs of 30 rows: 435 of 435 in" in said.getvalue()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0.3, 0.99), rows=st.integers(2, 25))
def test_blockwise_pairs_are_those_of_brute_force(seed, threshold, rows):
    X = matrix(rows, 3, seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MODULE, "_PAIR_ROWS", 4)
        found = near_duplicates(X, names(rows), folds(rows, 3), threshold=threshold)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    close = unit @ unit.T
    wanted = {
        (f"s{i}", f"s{j}")
        for i in range(rows)
        for j in range(i + 1, rows)
        if i % 3 != j % 3 and close[i, j] >= threshold
    }
    near = {
        (f"s{i}", f"s{j}")
        for i in range(rows)
        for j in range(i + 1, rows)
        if abs(close[i, j] - threshold) < 1e-6
    }
    assert set(zip(found["first"], found["second"], strict=True)) - near == wanted - near
