"""The promise of one pass: a unit gets the same numbers whoever it is trained with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbench.heads import Problem, predict, train
from backbench.heads.table import HEADS

from .conftest import FAST, make_case, softmax


def furthest(first, second):
    """Largest difference of any probability, test or validation."""
    pairs = [(first.logits, second.logits), (first.val_logits, second.val_logits)]
    return max(np.abs(softmax(a) - softmax(b)).max() for a, b in pairs)


def test_every_head_has_a_quick_setting_here():
    assert set(FAST) == {name for name, row in HEADS.items() if row.takes == "rows"}


def test_a_unit_alone_gets_the_probabilities_it_gets_among_all(case, table):
    units = case.units(0, 1)
    together = train(table, case.problem, units)
    for number in (0, 5, 11):
        alone = train(table, case.problem, [units[number]])[0]
        assert alone.chosen == together[number].chosen
        assert furthest(alone, together[number]) <= 1e-5


def test_units_of_several_blocks_and_an_unknown_plan_agree_alone_and_together(table):
    big = make_case(groups=30, n=300)
    problem = Problem(big.problem.X, big.problem.y, big.problem.classes)
    together = train(table, problem, big.units())
    for number in (0, 17, 29):
        alone = train(table, problem, big.units()[number : number + 1])[0]
        assert furthest(alone, together[number]) <= 1e-5


@pytest.mark.parametrize("kind", ["linear", "logreg", "ridge", "knn"])
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_neither_order_nor_company_of_units_matters(kind, data):
    case = make_case(n=120, d=8, groups=6)
    units = case.units(3, 4)
    chosen = data.draw(st.lists(st.sampled_from(range(len(units))), min_size=1, unique=True))
    everyone = train(FAST[kind], case.problem, units)
    some = train(FAST[kind], case.problem, [units[i] for i in chosen])
    for number, result in zip(chosen, some, strict=True):
        assert result.unit == units[number]
        assert furthest(result, everyone[number]) <= 1e-5


def test_training_again_gives_the_same_numbers(case, table):
    first, second = (train(table, case.problem, case.units(7)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.logits, b.logits)


def test_the_memory_budget_changes_no_probability(case, table):
    """A budget of next to nothing: no copy of the features, one slot a block."""
    table = table | ({"tol": 1e-12} if table["kind"] == "logreg" else {})
    wide = train(table, case.problem, case.units())
    narrow = train(table, case.problem, case.units(), memory_budget=10_000)
    for a, b in zip(wide, narrow, strict=True):
        assert furthest(a, b) <= 1e-4


def test_predict_gives_the_test_logits_again(case, table):
    for result in train(table, case.problem, case.units())[:3]:
        again = predict(table["kind"], result.weights, case.problem.X[result.unit.fold.test])
        np.testing.assert_allclose(again, result.logits, atol=1e-5)


def test_half_precision_features_on_disk_train_like_the_same_in_memory(case, table, tmp_path):
    half = case.problem.X.astype(np.float16)
    np.save(tmp_path / "X.npy", half)
    on_disk = np.load(tmp_path / "X.npy", mmap_mode="r")
    problems = [Problem(X, case.problem.y, 4, folds=8) for X in (half.astype(np.float32), on_disk)]
    first, second = (train(table, problem, case.units()) for problem in problems)
    for a, b in zip(first, second, strict=True):
        assert furthest(a, b) <= 1e-5
