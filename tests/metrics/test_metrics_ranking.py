import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbench.errors import MetricError
from backbench.metrics import compare_pairs, rank
from backbench.metrics.comparison import all_pairs


def board(make, skills, **size):
    return {f"m{i}": make(seed=i + 1, skill=skill, **size) for i, skill in enumerate(skills)}


def test_rows_far_apart_have_one_place_each(make):
    rows = board(make, [0.0, 3.0, 1.5], samples=900, groups=90)
    found = rank(rows, "accuracy", draws=500)
    assert [(one.name, one.rank, one.first, one.last) for one in found] == [
        ("m1", 1, 1, 1),
        ("m2", 2, 2, 2),
        ("m0", 3, 3, 3),
    ]
    assert found[0].better_than == ("m0", "m2")
    assert found[2].worse_than == ("m1", "m2")


def test_rows_that_the_data_cannot_separate_share_their_places(make):
    rows = board(make, [1.0, 1.0, 1.0, 9.0], samples=240, groups=24)
    found = rank(rows, "accuracy", draws=500)
    assert [(one.rank, one.first, one.last) for one in found] == [(1, 1, 1), *[(2, 2, 4)] * 3]


def test_two_rows_with_identical_predictions_are_tied_by_construction(make):
    rows = board(make, [0.0, 2.0, 4.0], samples=600, groups=60)
    rows["copy"] = rows["m1"]
    found = {one.name: one for one in rank(rows, "accuracy", draws=300)}
    a, b = found["m1"], found["copy"]
    assert (a.rank, a.first, a.last, a.value) == (b.rank, b.first, b.last, b.value)
    assert (a.first, a.last) == (2, 3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0, 3), min_size=1, max_size=5), st.randoms())
def test_ranks_do_not_depend_on_the_order_of_the_rows(make, seed, skills, random):
    rows = {f"m{i}": make(seed=seed + i, skill=s) for i, s in enumerate(skills)}
    names = list(rows)
    random.shuffle(names)
    shuffled = {
        name: rows[name].take(np.random.default_rng(seed).permutation(60)) for name in names
    }
    assert rank(rows, "macro_f1", draws=200) == rank(shuffled, "macro_f1", draws=200)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0, 6), min_size=2, max_size=6))
def test_places_follow_from_the_verdicts(make, seed, skills):
    rows = {f"m{i}": make(seed=seed + i, skill=s) for i, s in enumerate(skills)}
    found = rank(rows, "log_loss", draws=200)
    pairs = compare_pairs(rows, all_pairs(rows), "log_loss", draws=200)
    values = [one.value for one in found]
    assert values == sorted(values)
    assert [one.rank for one in found] == sorted(one.rank for one in found)
    assert {one.rank for one in found} == set(range(1, found[-1].rank + 1))
    for place, one in enumerate(found, start=1):
        assert one.first <= place <= one.last
        assert one.first == 1 + len(one.worse_than)
        assert one.last == len(rows) - len(one.better_than)
        for other in one.better_than:
            pair = pairs.get((one.name, other)) or pairs[other, one.name]
            assert pair.verdict in ("better", "worse")


def test_a_row_without_a_value_comes_last(make):
    row = make(classes=2)
    from dataclasses import replace

    one_class = {
        name: replace(x, y_true=np.zeros(60, int))
        for name, x in board(make, [1, 2], classes=2).items()
    }
    found = rank(one_class, "auroc_ovr", draws=50)
    assert [(one.first, one.last) for one in found] == [(1, 2), (1, 2)]
    assert row.classes == ("a", "b")


def test_one_row_is_first_and_none_is_an_error(make):
    assert [(one.first, one.last) for one in rank({"a": make()}, "accuracy", draws=50)] == [(1, 1)]
    with pytest.raises(MetricError, match="no rows"):
        rank({}, "accuracy")
