"""Neighbours found block by block against all similarities at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbench.files.arrays import pack, unpack
from backbench.heads import Problem, Unit, neighbours, predict, train
from backbench.heads.neighbours import Asked, Known, Rules, unit_rows

from .conftest import make_case

RULES = Rules((1, 3, 8), temperature=0.07, smoothing=0.01)
CLASSES = 3


def brute_force(X, y, voters, queries):
    """Votes of every voter at least as near as the k-th, one row after the other."""
    known, asked = (rows.astype(np.float64) for rows in (X, queries))
    known, asked = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known, asked))
    logits = np.empty((len(RULES.ks), len(asked), CLASSES))
    for i, row in enumerate(asked):
        cosines = known[voters] @ row
        for j, k in enumerate(RULES.ks):
            near = cosines >= np.sort(cosines)[-k] - 1e-10
            weight = np.exp((cosines[near] - cosines.max()) / RULES.temperature)
            votes = np.bincount(y[voters][near], weight, CLASSES)
            share = votes / votes.sum()
            logits[j, i] = np.log((1 - RULES.smoothing) * share + RULES.smoothing / CLASSES)
    return logits


def answered(X, y, voters, queries, **means):
    """All queries by the one set of voters."""
    known = Known(X, y, voters[None], CLASSES, **means)
    at = torch.arange(len(queries))
    asked = Asked(
        torch.from_numpy(unit_rows(queries, range(len(queries)))), at, torch.zeros_like(at)
    )
    return known.logits(asked, RULES).numpy()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 16)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), copies=st.integers(1, 60), memory=st.sampled_from([0, 1 << 20]))
def test_votes_are_those_of_all_rows_as_near_as_the_kth(seed, copies, memory):
    """With up to 60 copies of each row far more tie than are kept."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.normal(size=(max(2, 120 // copies), 6)), copies, axis=0).astype(np.float32)
    X = X[rng.permutation(len(X))]
    y, voters = rng.integers(0, CLASSES, len(X)), rng.random(len(X)) < 0.8
    voters[:8] = True
    queries = np.concatenate([X[:5], rng.normal(size=(5, 6)).astype(np.float32)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", 16)
        found = answered(X, y, voters, queries, memory=memory)
    np.testing.assert_allclose(found, brute_force(X, y, voters, queries), atol=1e-9)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_do_not_change_what_is_found():
    case = make_case()
    table = {"kind": "knn", "k": [3, 7, 15]}
    in_blocks = train(table, case.problem, case.units(), memory_budget=1)
    neighbours.BLOCK = 10**6
    at_once = train(table, case.problem, case.units())
    for a, b in zip(in_blocks, at_once, strict=True):
        np.testing.assert_allclose(a.logits, b.logits, atol=1e-6)
        np.testing.assert_allclose(a.val_logits, b.val_logits, atol=1e-6)
        assert a.chosen == b.chosen


def test_rows_that_are_all_alike_vote_all(small_blocks):
    """Nothing tells neighbours apart: the answer is the share of each class."""
    y = np.arange(300) % CLASSES
    logits = answered(np.ones((300, 4)), y, np.ones(300, bool), np.ones((2, 4)))
    np.testing.assert_allclose(np.exp(logits), 1 / CLASSES, atol=1e-9)


def test_all_units_hold_the_same_rows():
    """A copy for each fold would be the features 44 times over."""
    case = make_case()
    results = train({"kind": "knn", "k": 5}, case.problem, case.units(1, 2))
    for result in results:
        assert result.weights["vectors"] is case.problem.X
        assert np.flatnonzero(result.weights["voters"]).tolist() == list(result.unit.fold.train)


def test_units_answer_alike_from_their_file(tmp_path):
    case = make_case()
    results = train({"kind": "knn", "k": 5}, case.problem, case.units())
    path = tmp_path / "heads.safetensors"
    path.write_bytes(pack({str(r.unit.fold.index): r.weights for r in results}))
    for name, weights in unpack(path).items():
        result = results[int(name)]
        told = predict("knn", weights, case.problem.X[result.unit.fold.test])
        np.testing.assert_allclose(told, result.logits, atol=1e-6)


def test_features_in_half_precision_are_not_widened_as_a_whole(tmp_path):
    case = make_case()
    path = tmp_path / "X.npy"
    np.save(path, case.problem.X.astype(np.float16))
    mapped = Problem(np.load(path, mmap_mode="r"), case.problem.y, 4, len(case.folds))
    (result,) = train({"kind": "knn", "k": 5}, mapped, [Unit(case.folds[0], 0)], memory_budget=1)
    assert isinstance(result.weights["vectors"], np.memmap)
    again = predict("knn", result.weights, mapped.X[case.folds[0].test])
    np.testing.assert_allclose(again, result.logits, atol=1e-6)
