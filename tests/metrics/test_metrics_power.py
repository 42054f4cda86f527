from dataclasses import replace

import numpy as np
import pytest

from backbench.errors import MetricError
from backbench.metrics import Predictions, compare, compare_pairs, power
from backbench.metrics.comparison import all_pairs


def pair_of_rows(
    *, groups=40, seeds=3, advantage=0.5, between=1.0, noise=0.5, by_seed=0.0, random_seed=0
):
    """Two rows of 20 samples a group whose difference scatters as asked; the first is better."""
    random = np.random.default_rng(random_seed)
    group = np.repeat(np.arange(groups), 20)
    y = np.tile([0, 1], groups * 10)

    def row(extra):
        score = 1.0 + extra + random.normal(0, between, groups)[group]
        score = score + random.normal(0, by_seed, (seeds, 1)) if by_seed else score
        score = score + random.normal(0, noise, (seeds, groups))[:, group]
        right = random.random((seeds, len(y))) < 1 / (1 + np.exp(-score))
        said = np.where(right, y, 1 - y)
        p = np.eye(2)[said]
        ids = np.arange(len(y))
        return Predictions(ids, group, np.zeros_like(y), y, p, tuple(range(seeds)), ("a", "b"))

    return row(advantage), row(0.0)


def test_rows_that_are_apart_need_nothing_more():
    found = power(*pair_of_rows(advantage=2.5), "accuracy")
    assert found.separated
    assert (found.more_groups, found.more_seeds) == (0, 0)
    assert (found.why_not_groups, found.why_not_seeds) == ("", "")


def test_the_parts_add_up_to_the_spread_of_the_draws():
    a, b = pair_of_rows()
    found, one = power(a, b, "accuracy"), compare(a, b, "accuracy")
    assert found.between_groups + found.training_noise == pytest.approx(
        one.bootstrap_error**2, rel=0.05
    )
    assert (found.groups, found.seeds, found.difference) == (40, 3, one.difference)


def test_spread_between_groups_cannot_be_trained_away():
    a, b = pair_of_rows(between=2.0, noise=0.0, advantage=0.3)
    found = power(a, b, "accuracy")
    assert found.more_seeds is None
    assert found.why_not_seeds == "the spread between groups alone hides the difference; add groups"
    assert found.more_groups > 0


def test_seeds_that_lean_one_way_cannot_be_averaged_away_by_groups():
    a, b = pair_of_rows(by_seed=1.5, between=0.2, advantage=0.4, random_seed=4)
    found = power(a, b, "accuracy", rope=0.0)
    assert found.between_seeds > found.between_groups
    if not found.separated:
        assert found.more_groups is None
        assert found.why_not_groups == "the seeds differ too much; train more seeds first"


def test_where_neither_groups_nor_seeds_do_it_alone_both_are_asked_for():
    """Each reason asks for the other count alone, and both together contradict themselves."""
    a, b = pair_of_rows(by_seed=1.5, between=2.0, advantage=0.1, random_seed=4)
    found = power(a, b, "accuracy", draws=200)
    assert (found.more_groups, found.more_seeds) == (None, None)
    assert found.advice == "neither more groups nor more seeds do it alone: add both"
    fewer = replace(found, more_groups=7, why_not_groups="")
    assert fewer.advice == f"more groups: 7; more seeds: {found.why_not_seeds}"


def test_a_smaller_difference_needs_more_groups():
    """The same spread and a rope that takes away ever more of the difference."""
    a, b = pair_of_rows(advantage=0.3, between=1.5, random_seed=1)
    size = abs(compare(a, b, "accuracy").difference)
    found = [power(a, b, "accuracy", rope=size * share) for share in (0, 0.25, 0.5)]
    assert not found[0].separated
    needed = [one.more_groups for one in found]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_more_certainty_and_more_comparisons_need_more_groups():
    a, b = pair_of_rows(advantage=0.3, between=1.5, random_seed=1)
    needed = [power(a, b, "accuracy", wanted=w).more_groups for w in (0.5, 0.8, 0.95)]
    assert needed == sorted(needed)
    assert needed[0] < needed[2]
    families = [power(a, b, "accuracy", family=f).more_groups for f in (1, 6, 28)]
    assert families == sorted(families)
    assert families[0] < families[2]


def test_shared_training_sets_ask_for_more_groups():
    a, b = pair_of_rows(advantage=0.3, between=1.5, random_seed=1)
    plain, shared = (power(a, b, "accuracy", test_to_train=r) for r in (0.0, 1.0))
    assert shared.detectable == pytest.approx(plain.detectable * np.sqrt(2))
    assert 40 + shared.more_groups == pytest.approx(2 * (40 + plain.more_groups), abs=2)


def test_as_many_groups_as_advised_separate_them_as_often_as_asked():
    """Advice from one pair, tried on fresh pairs of the advised size."""
    advised = []
    for s in range(10):
        found = power(
            *pair_of_rows(groups=30, advantage=0.5, between=1.0, random_seed=s),
            "accuracy",
            draws=500,
        )
        if found.more_groups:
            advised.append(30 + found.more_groups)
    groups = int(np.median(advised))
    fresh = [
        pair_of_rows(groups=groups, advantage=0.5, between=1.0, random_seed=100 + s)
        for s in range(40)
    ]
    share = np.mean([compare(a, b, "accuracy", draws=400).verdict == "better" for a, b in fresh])
    assert share > 0.6


def test_what_could_be_found_now_does_not_depend_on_what_was():
    equal, apart = (
        power(*pair_of_rows(advantage=d, random_seed=3), "accuracy").detectable for d in (0.0, 0.3)
    )
    assert equal == pytest.approx(apart, rel=0.15)


@pytest.mark.filterwarnings("error")
def test_with_few_groups_only_groups_help_and_6_at_least():
    found = power(*pair_of_rows(groups=3, advantage=3.0, between=0.1), "accuracy")
    assert not found.separated
    assert found.more_groups == 3
    assert found.why_not_seeds == "fewer than 6 groups never separate rows; add groups"
    assert np.isnan(found.detectable)


def test_no_difference_is_never_separated():
    a, _ = pair_of_rows()
    found = power(a, a, "accuracy")
    assert (found.more_groups, found.more_seeds, found.separated) == (None, None, False)
    assert found.why_not_groups.startswith("all groups show the same difference: ")
    assert np.isnan(found.detectable)


def test_a_difference_within_the_rope_is_never_separated():
    found = power(*pair_of_rows(advantage=0.1), "accuracy", rope=0.5)
    assert (found.more_groups, found.separated) == (None, False)
    assert found.why_not_groups == "no difference was observed beyond the rope"


def test_one_seed_cannot_tell_what_more_would_bring():
    a, b = pair_of_rows(seeds=1, advantage=0.3, between=1.5, random_seed=1)
    found = power(a, b, "accuracy")
    assert found.more_seeds is None
    assert found.why_not_seeds == "one seed only: how much seeds scatter is not known"
    assert np.isnan([found.training_noise, found.between_seeds]).all()
    assert found.more_groups > 0


def test_one_group_cannot_tell_what_more_would_bring(make):
    a, b = (make(groups=1, folds=1, seed=s) for s in (1, 2))
    found = power(a, b, "accuracy", draws=50)
    assert (found.more_groups, found.more_seeds) == (None, None)
    assert found.why_not_groups == "one group only: the spread between groups is not known"


def test_rows_with_other_seeds_can_be_asked_about(make):
    a, b = make(seed=1, seeds=3), replace(make(seed=2, seeds=3), seeds=(7, 8, 9))
    assert power(a, b, "accuracy", draws=100).training_noise > 0


@pytest.mark.parametrize("wrong", [{"wanted": 1.0}, {"wanted": 0.2}, {"family": 0}])
def test_nonsense_is_refused(make, wrong):
    with pytest.raises(MetricError, match="power"):
        power(make(), make(), "accuracy", **wrong)


def test_rows_that_a_board_tells_apart_need_nothing_more():
    """Of 6 groups p is held to 2^-5, which three comparisons do not make three times as large."""
    group = np.repeat(np.arange(6), 20)
    y = np.tile([0, 1], 60)
    random = np.random.default_rng(0)

    def row(wrong):
        p = np.eye(2)[y]
        for number in range(6):
            some = random.choice(20, wrong + random.integers(-1, 2), replace=False) + 20 * number
            p[some] = p[some, ::-1]
        return Predictions(np.arange(120), group, 0 * y, y, p[None], (0,), ("a", "b"))

    rows = {"a": row(2), "b": row(9), "c": row(9)}
    told = compare_pairs(rows, all_pairs(rows), "accuracy", draws=500)["a", "b"]
    assert (told.verdict, told.p_adjusted) == ("better", 2**-5)
    found = power(rows["a"], rows["b"], "accuracy", family=told.family, draws=500)
    assert (found.separated, found.more_groups) == (True, 0)
