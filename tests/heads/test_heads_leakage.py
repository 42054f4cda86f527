"""What is held out teaches nothing: not by labels, not by features, not by standardisation."""

from dataclasses import replace

import numpy as np
import pytest

from backbench.heads import Unit, predict, train

from .conftest import FAST, make_case, softmax

FIXED = {
    "linear": {"kind": "linear", "epochs": 4, "patience": 0, "lr": 0.01},
    "logreg": {"kind": "logreg", "C": 0.1, "tol": 1e-12},
    "ridge": {"kind": "ridge", "lambdas": 10.0},
    "knn": {"kind": "knn", "k": 7},
    "mlp": {"kind": "mlp", "epochs": 4, "patience": 0, "hidden": 16},
}
"""Each head with nothing to choose on validation."""


@pytest.mark.parametrize("kind", sorted(FAST))
def test_labels_of_test_rows_do_not_matter(kind):
    case = make_case()
    table = FAST[kind] | ({"tol": 1e-12} if kind == "logreg" else {})
    unit = Unit(case.folds[2], 0)
    y = case.problem.y.copy()
    y[unit.fold.test] = (y[unit.fold.test] + 1) % 4
    honest, shuffled = (
        train(table, problem, [unit])[0] for problem in (case.problem, replace(case.problem, y=y))
    )
    np.testing.assert_allclose(softmax(honest.logits), softmax(shuffled.logits), atol=1e-5)


def test_labels_of_test_rows_do_not_tip_a_choice_between_near_ties():
    """Values of C so close that only what the tolerance leaves could tell them apart."""
    case = make_case()
    unit = Unit(case.folds[4], 0)
    table = {"kind": "logreg", "C": np.geomspace(0.03, 0.3, 16).tolist(), "tol": 1e-12}
    y = case.problem.y.copy()
    y[unit.fold.test] = (y[unit.fold.test] + 1) % 4
    honest, shuffled = (
        train(table, problem, [unit])[0] for problem in (case.problem, replace(case.problem, y=y))
    )
    assert honest.chosen == shuffled.chosen
    np.testing.assert_allclose(softmax(honest.logits), softmax(shuffled.logits), atol=1e-5)


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_held_out_rows_could_be_anything(kind):
    """Test and validation rows replaced by wild ones: the unit predicts a third set alike."""
    case = make_case()
    unit = Unit(case.folds[2], 0)
    fold = unit.fold
    X, y = case.problem.X.copy(), case.problem.y.copy()
    rng = np.random.default_rng(9)
    held_out = np.concatenate([fold.val, fold.test])
    X[held_out] = rng.normal(3, 40, (len(held_out), X.shape[1]))
    y[held_out] = rng.integers(0, 4, len(held_out))
    if kind == "ridge":  # its one factor for the logits is fitted on validation
        X[fold.val], y[fold.val] = case.problem.X[fold.val], case.problem.y[fold.val]
    probe = case.problem.X[fold.test]
    honest, wild = (
        predict(kind, train(FIXED[kind], problem, [unit])[0].weights, probe)
        for problem in (case.problem, replace(case.problem, X=X, y=y))
    )
    np.testing.assert_allclose(softmax(honest), softmax(wild), atol=2e-4)


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_a_head_with_nothing_to_choose_needs_no_validation(kind):
    case = make_case(validation=False)
    results = train(FIXED[kind], case.problem, case.units())
    assert all(result.val_logits.shape == (0, 4) for result in results)
    assert all(np.isfinite(result.logits).all() for result in results)


@pytest.mark.parametrize("kind", ["logreg", "ridge", "knn"])
def test_the_order_of_samples_does_not_matter(kind):
    """Exact heads only: minibatches follow row numbers."""
    case = make_case()
    order = np.random.default_rng(5).permutation(len(case.problem.y))
    place = np.argsort(order)
    moved = replace(case.problem, X=case.problem.X[order], y=case.problem.y[order])
    table = FAST[kind] | ({"tol": 1e-12} if kind == "logreg" else {})
    for fold in case.folds[:3]:
        sides = {side: np.sort(place[getattr(fold, side)]) for side in ("train", "val", "test")}
        there = train(table, moved, [Unit(replace(fold, **sides), 0)])[0]
        here = train(table, case.problem, [Unit(fold, 0)])[0]
        back = np.argsort(order[sides["test"]])
        np.testing.assert_allclose(softmax(there.logits)[back], softmax(here.logits), atol=1e-5)
