from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbench.errors import MetricError
from backbench.metrics import METRICS, Predictions, summarise
from backbench.metrics.uncertainty import interval

SIX = ["accuracy", "balanced_accuracy", "macro_f1", "auroc_ovr", "log_loss", "ece"]


def sure(y, groups, folds, said, *, classes=("a", "b")):
    """One seed that is certain of `said`."""
    p = np.eye(len(classes))[said][None]
    return Predictions(np.arange(len(y)), groups, folds, y, p, (0,), classes)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 4))
def test_an_interval_holds_the_value_and_stays_in_range(make, seed, skill):
    for one in summarise(make(seed=seed, skill=skill), list(METRICS), draws=200):
        assert one.low <= one.value <= one.high
        assert one.low >= 0
        assert one.high <= 1 or one.metric == "log_loss"


def test_an_estimate_says_what_it_rests_on(make):
    (one,) = summarise(make(seeds=3), ["accuracy"], draws=100)
    assert (one.groups, one.folds, one.seeds) == (12, 4, 3)
    assert one.higher_is_better
    assert one.undefined == {}
    assert one.undefined_draws == 0
    assert one.note == ""


def test_seeds_are_averaged_and_their_spread_is_shown_apart(make):
    row = make(seeds=3)
    (one,) = summarise(row, ["macro_f1"], draws=100)
    assert one.value == pytest.approx(np.mean(one.per_seed))
    assert one.seed_std == pytest.approx(np.std(one.per_seed, ddof=1))
    first = replace(row, probabilities=row.probabilities[:1], seeds=(0,))
    (alone,) = summarise(first, ["macro_f1"], draws=100)
    assert alone.value == one.per_seed[0]
    assert np.isnan(alone.seed_std)


def test_repeating_a_seed_does_not_narrow_the_interval(make):
    """132 runs that are 44 groups x 3 equal seeds hold no more evidence than 44 groups."""
    one = make(seeds=1)
    three = replace(one, probabilities=np.repeat(one.probabilities, 3, axis=0), seeds=(1, 2, 3))
    (a,), (b,) = (summarise(row, ["accuracy"], draws=500) for row in (one, three))
    assert (a.low, a.high) == pytest.approx((b.low, b.high))
    assert b.seed_std == 0


def test_copying_the_samples_of_a_group_does_not_narrow_the_interval(make):
    row = make()
    twice = np.concatenate([np.arange(60), np.arange(60)])
    ids = np.array([f"{i:03d}" for i in range(120)])
    doubled = Predictions(
        ids,
        row.group[twice],
        row.fold[twice],
        row.y_true[twice],
        row.probabilities[:, twice],
        row.seeds,
        row.classes,
    )
    for a, b in zip(summarise(row, SIX), summarise(doubled, SIX), strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_the_samples_does_not_matter(make, seed):
    row = make(seed=seed)
    shuffled = row.take(np.random.default_rng(seed).permutation(len(row)))
    for a, b in zip(
        summarise(row, SIX, draws=100), summarise(shuffled, SIX, draws=100), strict=True
    ):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-5)


def test_more_groups_narrow_the_interval(make):
    widths = []
    for groups in (10, 40, 160):
        (one,) = summarise(make(samples=groups * 5, groups=groups, seeds=1), ["accuracy"])
        widths.append(one.high - one.low)
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


def test_undefined_folds_are_counted_with_the_reason():
    """Groups of one class have no AUROC; they are left out of the mean and counted."""
    y = np.array([0, 1, 0, 1, 0, 0, 1, 1])
    folds = np.repeat(np.arange(4), 2)
    row = sure(y, folds, folds, y)
    (one,) = summarise(row, ["auroc_ovr_fold_mean"], draws=200)
    assert one.value == 1.0
    assert one.undefined == {"only one class among the samples": 2}
    assert one.folds == 4
    assert one.undefined_draws > 0


def test_a_seed_without_a_value_is_left_out_of_the_mean_and_counted():
    """The first seed never predicts b; the second does in the first of five folds."""
    y, fold = np.tile([0, 0, 1, 1], 5), np.repeat(np.arange(5), 4)
    p = np.tile([0.9, 0.1], (2, 20, 1))
    p[1, 2] = 0.1, 0.9
    row = Predictions(np.arange(20), fold, fold, y, p, (0, 1), ("a", "b"))
    pooled, folds = summarise(row, ["precision_b", "precision_b_fold_mean"], draws=50)
    assert (pooled.value, folds.value) == (1.0, 1.0)
    assert np.isnan(pooled.per_seed).tolist() == [True, False]
    assert (pooled.undefined, folds.undefined) == ({}, {"the class is never predicted": 4})
    assert pooled.undefined_seeds == {"the class is never predicted": 1}
    assert folds.undefined_seeds == {"the class is never predicted": 1}


def test_a_metric_without_any_value_says_why():
    row = sure(np.zeros(4, int), np.arange(4), np.arange(4), np.zeros(4, int))
    pooled, folds = summarise(row, ["auroc_ovr", "auroc_ovr_fold_mean"], draws=50)
    assert np.isnan([pooled.value, pooled.low, pooled.high, folds.value]).all()
    assert pooled.undefined == {"only one class among the samples": 1}
    assert folds.undefined == {"only one class among the samples": 4}
    assert pooled.note == "undefined: only one class among the samples"
    assert (pooled.undefined_seeds, folds.undefined_seeds) == ({}, {})


def test_one_group_has_a_value_and_no_interval(make):
    (one,) = summarise(make(groups=1, folds=1), ["accuracy"], draws=50)
    assert 0 < one.value < 1
    assert np.isnan([one.low, one.high]).all()
    assert one.note == "one group only: no interval"


def test_the_same_score_in_all_groups_is_not_a_certain_one():
    """Of a constant predictor it is 1 / C in each: 20 groups leave 17% of groups unknown."""
    y = np.tile([0, 1, 2], 20)
    row = sure(y, np.arange(60) // 3, np.zeros(60, int), np.zeros(60, int), classes=("a", "b", "c"))
    (one,) = summarise(row, ["balanced_accuracy"], draws=300)
    unknown = 1 - 0.025 ** (1 / 20)
    low = (1 - unknown) / 3
    assert (one.low, one.value, one.high) == pytest.approx((low, 1 / 3, low + unknown))


def test_a_perfect_score_is_not_a_certain_one():
    """No error in 20 groups: the exact binomial limit, as for 20 throws; fewer groups, wider."""
    y = np.tile([0, 1], 20)
    group = np.arange(40) // 2
    row = sure(y, group, np.zeros(40, int), y)
    (one,) = summarise(row, ["accuracy"], draws=100)
    assert (one.value, one.high) == (1.0, 1.0)
    assert one.low == pytest.approx(0.025 ** (1 / 20))


@pytest.mark.parametrize("seeds", [1, 3, 6, 7, 10])
@pytest.mark.parametrize("metric", SIX[:4])
def test_a_perfect_score_is_no_more_certain_with_more_seeds(metric, seeds):
    """1 / 6 six times is not 1 in floating point, but the score is perfect all the same."""
    y = np.tile([0, 1, 2], 20)
    row = sure(y, np.arange(60) // 3, np.zeros(60, int), y, classes=("a", "b", "c"))
    row = replace(
        row, seeds=tuple(range(seeds)), probabilities=np.repeat(row.probabilities, seeds, 0)
    )
    (one,) = summarise(row, [metric], draws=100)
    assert (one.low, one.value, one.high) == pytest.approx((0.025 ** (1 / 20), 1.0, 1.0))


def test_a_perfect_score_of_a_rare_class_rests_on_its_groups_only():
    y = np.zeros(40, int)
    y[:2] = 1
    row = sure(y, np.arange(40), np.zeros(40, int), y)
    rare, both, all_samples = summarise(
        row, ["recall_b", "balanced_accuracy", "accuracy"], draws=50
    )
    assert rare.low == pytest.approx(0.025 ** (1 / 2))
    assert both.low == pytest.approx((0.025 ** (1 / 2) + 0.025 ** (1 / 38)) / 2)
    assert all_samples.low == pytest.approx(0.025 ** (1 / 40))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("groups", [6, 10])
def test_a_perfect_f1_of_a_class_that_some_draws_lack_has_the_exact_limit(groups):
    """Such a draw scores 0, so there is a spread, though nobody was ever wrong."""
    y = np.arange(groups) % 2
    row = sure(y, np.arange(groups), np.zeros(groups, int), y)
    (one,) = summarise(row, ["f1_a"])
    assert (one.low, one.value, one.high) == pytest.approx((0.025 ** (2 / groups), 1, 1))
    assert one.note == ""


@pytest.mark.filterwarnings("error")
def test_a_share_at_0_but_for_rounding_has_the_exact_limit():
    draws = np.array([0.0, 1e-9, 2e-9])
    assert interval(1e-9, draws, unit="share", groups=9, at_bound=0.3) == pytest.approx(
        (0, 0.3), abs=1e-8
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", ["share", "nats", "days"])
def test_an_interval_may_be_as_wide_as_there_is_room(unit):
    """Two groups, one very bad: nothing overflows loudly."""
    low, high = interval(0.01, np.array([0.0, 0.02, 0.9]), unit=unit, groups=2, at_bound=0.8)
    assert 0 <= low < 1e-6
    assert high == (pytest.approx(1) if unit == "share" else np.inf)


def test_an_interval_of_a_share_is_symmetric_in_its_logit():
    draws = np.random.default_rng(0).normal(0.9, 0.02, 4_000)
    low, high = interval(0.9, draws, unit="share", groups=50, at_bound=1.0)
    logit = np.log([low / (1 - low), 9, high / (1 - high)])
    logit[1] = np.log(9)
    assert logit[1] - logit[0] == pytest.approx(logit[2] - logit[1])
    half = 2.0096 * draws.std(ddof=1) * np.sqrt(50 / 49) / (0.9 * 0.1)
    assert logit[2] - logit[1] == pytest.approx(half, rel=1e-4)


def test_the_same_seed_gives_the_same_interval_and_another_a_close_one(make):
    row = make(samples=300, groups=60)
    a, b, c = (summarise(row, ["accuracy"], seed=s)[0] for s in (1, 1, 2))
    assert a == b
    assert a.low != c.low
    assert a.low == pytest.approx(c.low, abs=0.005)


def test_an_unknown_metric_is_refused(make):
    with pytest.raises(MetricError, match="Did you mean 'accuracy'"):
        summarise(make(), ["acuracy"])


@pytest.mark.parametrize(
    ("size", "seconds"),
    [
        ({"samples": 1797, "groups": 1797, "classes": 10, "seeds": 3, "folds": 10}, 3.0),
        ({"samples": 2907, "groups": 44, "classes": 2, "seeds": 3, "folds": 44}, 0.3),
    ],
)
def test_a_summary_of_10_000_draws_is_quick(make, size, seconds):
    row = make(**size, skill=3.0)
    summarise(row, SIX, draws=100)
    start = process_time()
    summarise(row, SIX)
    assert process_time() - start < 2 * seconds  # a loaded machine takes longer
