"""Folds: a group never sits on both sides, and the plan does not depend on the order of samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbench.errors import FoldError
from backbench.folds import Fold, FoldPlan, check_disjoint, plan_folds
from backbench.tasks import FoldSettings


def plan(
    settings: FoldSettings, y, groups=None, splits=None, order=None, *, strata=None
) -> FoldPlan:
    n = len(y)
    order = [f"s{i:04d}" for i in range(n)] if order is None else order
    return plan_folds(
        settings,
        y=np.asarray(y),
        groups=np.asarray(order if groups is None else groups, str),
        splits=np.asarray([""] * n if splits is None else splits, str),
        order=order,
        strata=None if strata is None else np.asarray(strata, str),
    )


@settings(deadline=None)
@given(
    groups=st.lists(st.integers(3, 9), min_size=12, max_size=60),
    scheme=st.sampled_from(["group_k_fold", "leave_one_group_out"]),
    validation=st.sampled_from(["next_fold", "fraction", "none"]),
    data=st.data(),
)
def test_a_group_never_sits_on_both_sides_and_everything_is_tested_once(
    groups: list[int], scheme: str, validation: str, data: st.DataObject
) -> None:
    names = np.array([f"g{g}" for g in [*groups, 0, 1, 2, 10, 11]])
    y = np.arange(len(names)) % 2
    settings = FoldSettings(
        scheme=scheme, n_splits=3, validation=validation, validation_fraction=0.3
    )
    made = plan(settings, y, names)
    tested = np.sort(np.concatenate([f.test for f in made.folds]))
    assert tested.tolist() == list(range(len(names)))
    for fold in made.folds:
        sides = [set(names[rows]) for rows in (fold.train, fold.val, fold.test)]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(names)
        assert (validation == "none") == (len(fold.val) == 0)
    turn = np.array(data.draw(st.permutations(range(len(names)))))
    order = np.array([f"s{i:04d}" for i in range(len(names))])
    again = plan(settings, y[turn], names[turn], order=order[turn].tolist())
    assert again.fingerprint(order[turn]) == made.fingerprint(order)


def test_stratified_folds_hold_each_class_in_proportion() -> None:
    y = np.repeat([0, 1], [40, 20])
    made = plan(FoldSettings(n_splits=5), y)
    assert [np.bincount(y[f.test]).tolist() for f in made.folds] == [[8, 4]] * 5


def test_next_fold_validates_on_the_fold_after() -> None:
    made = plan(FoldSettings(n_splits=4), np.arange(40) % 2)
    for fold, following in zip(made.folds, (*made.folds[1:], made.folds[0]), strict=True):
        assert fold.val.tolist() == following.test.tolist()


MATURITY = ["Early", "Mid", "Late"]


def one_per_stratum(turn=None) -> tuple[FoldPlan, np.ndarray, np.ndarray]:
    """44 accessions of 6 plants, as in the task `faba`."""
    groups = np.repeat([f"A{i:02d}" for i in range(44)], 6)
    strata = np.repeat(np.array(MATURITY)[np.arange(44) % 3], 6)
    turn = np.arange(264) if turn is None else turn
    settings = FoldSettings(
        scheme="leave_one_group_out", validation="one_per_stratum", stratum="maturity"
    )
    order = [f"s{i:04d}" for i in turn]
    made = plan(
        settings, (np.arange(264) % 2)[turn], groups[turn], None, order, strata=strata[turn]
    )
    return made, groups[turn], strata[turn]


def test_one_group_of_each_stratum_is_validated_on_and_never_the_tested_one() -> None:
    made, groups, strata = one_per_stratum()
    assert [fold.name for fold in made.folds] == sorted(set(groups))
    for fold in made.folds:
        assert (len(fold.train), len(fold.val), len(fold.test)) == (240, 18, 6)
        assert len(np.unique(groups[fold.val])) == 3
        assert sorted(strata[fold.val]) == sorted(MATURITY * 6)
        assert fold.name not in groups[fold.val]


def test_one_generator_runs_through_all_folds_in_order() -> None:
    made, groups, strata = one_per_stratum()
    random = np.random.default_rng(42)
    of_group = dict(zip(groups, strata, strict=True))
    for fold in made.folds:
        drawn = [
            random.choice([g for g in sorted(of_group) if of_group[g] == s and g != fold.name])
            for s in sorted(MATURITY)
        ]
        assert sorted(set(groups[fold.val])) == sorted(drawn)


def test_strata_do_not_depend_on_the_order_of_the_samples() -> None:
    turn = np.random.default_rng(0).permutation(264)
    names = [[f"s{i:04d}" for i in rows] for rows in (range(264), turn)]
    plain, turned = one_per_stratum()[0], one_per_stratum(turn)[0]
    assert plain.fingerprint(names[0]) == turned.fingerprint(names[1])


@pytest.mark.parametrize(
    ("strata", "words"),
    [
        (None, "name a column without gaps with folds.stratum"),
        (list("xxyyxyyyxy"), "group 'c' has more than one value of 'kind'"),
        (list("xxyyyyyyyy"), "no group with stratum 'x' beside the test"),
    ],
)
def test_strata_that_cannot_be_drawn_from_are_refused(strata, words: str) -> None:
    settings = FoldSettings(
        scheme="leave_one_group_out", validation="one_per_stratum", stratum="kind"
    )
    with pytest.raises(FoldError, match=words):
        plan(settings, np.arange(10) % 2, list("aabbccddee"), strata=strata)


def test_a_given_split_is_taken_as_given() -> None:
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 3 + [""]
    settings = FoldSettings(scheme="given_split", validation="given")
    (fold,) = plan(settings, np.arange(10) % 2, splits=splits).folds
    assert (fold.train.tolist(), fold.val.tolist()) == ([0, 1, 2, 3], [4, 5])
    assert fold.test.tolist() == [6, 7, 8]


def test_groups_that_are_not_in_play_are_not_validated_on() -> None:
    groups = np.repeat([f"g{i:02d}" for i in range(12)], 2)
    splits = np.repeat(["train"] * 4 + ["test"] * 2 + [""] * 6, 2)
    strata = np.where(
        groups < "g06", np.repeat(list("xy") * 6, 2), np.where(groups > "g08", "", "z")
    )
    for seed in range(10):
        settings = FoldSettings(
            scheme="given_split", validation="one_per_stratum", stratum="kind", seed=seed
        )
        (fold,) = plan(settings, np.arange(24) % 2, groups, splits, strata=strata).folds
        assert sorted(strata[fold.val]) == ["x", "x", "y", "y"]
        assert set(splits[fold.val]) == set(splits[fold.train]) == {"train"}


@pytest.mark.parametrize(
    ("settings", "splits"),
    [
        ({"scheme": "given_split", "validation": "one_per_stratum"}, ["train"] * 2 + ["test"] * 2),
        ({"scheme": "leave_one_group_out", "validation": "given"}, ["val"] * 4),
    ],
)
def test_a_validation_that_takes_all_that_is_left_is_refused(settings: dict, splits) -> None:
    settings = FoldSettings(**settings, stratum="kind")
    with pytest.raises(FoldError, match=r"fold .*: validation '.*' leaves nothing to train on"):
        plan(settings, [0, 1, 0, 1], list("abcd"), splits, strata=list("xyxy"))


def test_the_last_seed_there_is_serves_every_fold() -> None:
    settings = FoldSettings(n_splits=5, validation="fraction", seed=2**32 - 1)
    made = plan(settings, np.arange(20) % 2)
    assert [len(fold.val) for fold in made.folds] == [2] * 5


def test_leave_one_group_out_names_folds_by_group() -> None:
    made = plan(FoldSettings(scheme="leave_one_group_out"), [0, 1, 0, 1], list("baca"))
    assert [fold.name for fold in made.folds] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("settings", "groups", "words"),
    [
        ({"n_splits": 5}, list("aabbccddee"), ["stratified_k_fold", "5 groups", "group_k_fold"]),
        ({"n_splits": 6}, None, ["5 samples in the smallest class", "n_splits"]),
        ({"n_splits": 1}, None, ["n_splits is 1", "2 or more"]),
        ({"n_splits": 2}, None, ["next_fold", "3 folds"]),
        ({"scheme": "group_k_fold", "n_splits": 6}, list("aabbccddee"), ["5 groups"]),
        ({"scheme": "leave_one_group_out"}, list("aaaaaaaaaa"), ["group 'a'", "folds.group"]),
        (
            {"scheme": "leave_one_group_out", "validation": "fraction"},
            list("aaaaabbbbb"),
            ["fold a:", "beside the test: 1", 'folds.validation = "none"'],
        ),
        (
            {"n_splits": 5, "validation": "fraction", "validation_fraction": 0.99},
            None,
            ["fold 0:", "beside the test: 8", "lower folds.validation_fraction"],
        ),
        ({"scheme": "given_split"}, None, ["split", "none"]),
        ({"n_splits": 5, "validation": "given"}, None, ["'val'"]),
        (
            {"n_splits": 5, "validation": "fraction", "validation_fraction": 1.5},
            None,
            ["1.5", "between 0 and 1"],
        ),
    ],
)
def test_folds_that_cannot_be_made_are_refused(settings: dict, groups, words: list[str]) -> None:
    with pytest.raises(FoldError) as error:
        plan(FoldSettings(**settings), np.arange(10) % 2, groups)
    assert all(word in str(error.value) for word in words), error.value


def test_an_overlap_is_refused_with_the_group() -> None:
    rows = [np.array(r) for r in ([0, 1], [2], [3])]
    with pytest.raises(FoldError, match="group 'g' is in train and in test"):
        check_disjoint([Fold(0, "0", *rows)], np.array(["g", "h", "i", "g"]))


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("3", [3]),
        ("1-3", [1, 2, 3]),
        ("4,0", [0, 4]),
        ("0-1,1-2", [0, 1, 2]),
    ],
)
def test_folds_are_selected(spec: str, chosen: list[int]) -> None:
    made = plan(FoldSettings(n_splits=5), np.arange(50) % 2)
    assert [fold.index for fold in made.select(spec)] == chosen


@pytest.mark.parametrize("spec", ["5", "0-5", "x", "", "3-1", "-1", "1,,2"])
def test_a_selection_that_is_none_is_refused(spec: str) -> None:
    made = plan(FoldSettings(n_splits=5), np.arange(50) % 2)
    with pytest.raises(FoldError, match=r"0-10|folds 0 to 4"):
        made.select(spec)


def test_what_validates_was_seen_by_learning_too():
    rows = np.arange(10)
    folds = (
        Fold(0, "0", rows[3:], rows[2:3], rows[:2]),
        Fold(1, "1", rows[:5], rows[5:6], rows[6:]),
    )
    assert FoldPlan(folds).test_to_train == pytest.approx((2 / 8 + 4 / 6) / 2)
