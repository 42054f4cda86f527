from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import stdtr, stdtrit

from backbench.errors import MetricError
from backbench.metrics import Predictions, compare, compare_pairs, holm, resolve
from backbench.metrics.comparison import all_pairs
from backbench.metrics.effective import effective_groups
from backbench.metrics.evidence import Evidence
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.resampling import bootstrap
from backbench.metrics.separation import VERDICTS, corrected_resampled_t, verdicts
from backbench.metrics.unseen import Unseen

NAMES = "abcde"
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(P_VALUES)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p):
    adjusted = holm(p)
    assert (adjusted >= np.asarray(p)).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted.min() == pytest.approx(min(1, len(p) * min(p)))


@given(P_VALUES, st.randoms())
def test_holm_does_not_depend_on_order(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm(p)[order] == pytest.approx(holm([p[i] for i in order]))


def test_holm_of_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_corrected_t_is_that_of_nadeau_and_bengio():
    """10 folds of a tenth: variance / 10 becomes variance * (1/10 + 1/9)."""
    d = np.random.default_rng(0).normal(0.3, 1, 10)
    found = corrected_resampled_t(np.append(d, np.nan), 1 / 9)
    plain = stats.ttest_1samp(d, 0).statistic
    assert found.folds == 10
    assert found.factor == pytest.approx(1 / 10 + 1 / 9)
    assert found.t == pytest.approx(plain * np.sqrt(1 / 10 / (1 / 10 + 1 / 9)))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.t), 9))
    assert corrected_resampled_t(np.array([1, np.nan]), 1 / 9) is None


def test_a_comparison_states_its_correction(make):
    one = compare(make(seed=1), make(seed=2), "accuracy", draws=500)
    assert one.correction == pytest.approx(1 + 4 / 3)
    assert one.standard_error == pytest.approx(one.bootstrap_error * np.sqrt(one.correction))
    assert one.corrected_t.factor == pytest.approx(one.correction / 4)
    assert one.high - one.difference == pytest.approx(stats.t.ppf(0.975, 11) * one.standard_error)
    assert one.p_value == pytest.approx(
        2 * stats.t.sf(abs(one.difference) / one.standard_error, 11)
    )
    assert one.p_adjusted == one.p_value


def test_a_single_split_is_corrected_only_when_its_training_set_is_known(make):
    a, b = make(seed=1, folds=1), make(seed=2, folds=1)
    assert compare(a, b, "accuracy", draws=50).correction == 1
    assert compare(a, b, "accuracy", draws=50).corrected_t is None
    assert compare(a, b, "accuracy", draws=50, test_to_train=0.25).correction == 1.25
    known = replace(a, test_to_train=0.5)
    assert compare(known, b, "accuracy", draws=50).correction == 1.5
    read = Predictions.from_frame(known.to_frame())
    assert compare(read, b, "accuracy", draws=50).correction == 1.5
    assert compare(b, known, "accuracy", draws=50).correction == 1.5


def test_training_sets_of_other_sizes_are_named_and_not_taken_from_one_row(make):
    few, many = (replace(make(seed=s), test_to_train=r) for s, r in ((1, 3.0), (2, 0.02)))
    words = r"'b' and 'a' .*test_to_train is 0\.02 and 3\."
    with pytest.raises(MetricError, match=words):
        compare(few, many, "accuracy", draws=50)
    assert compare(few, many, "accuracy", draws=50, test_to_train=0.5).correction == 3


def test_the_spread_of_the_draws_is_that_of_paired_resampling(make):
    """Resampling rows of both together by hand gives the same standard error."""
    a, b = make(seed=1, seeds=1), make(seed=2, seeds=1)
    metric = resolve("macro_f1", a.classes)
    random = np.random.default_rng(0)
    rows_of = [np.flatnonzero(a.group == g) for g in a.group_names]
    found = []
    for _ in range(1500):
        rows = np.concatenate([rows_of[g] for g in random.integers(0, 12, 12)])
        values = [metric.function(x.y_true[rows], x.probabilities[0, rows]) for x in (a, b)]
        found.append(values[0] - values[1])
    one = compare(a, b, "macro_f1")
    assert one.bootstrap_error == pytest.approx(np.std(found) * np.sqrt(12 / 11), rel=0.06)


def test_pairing_beats_looking_at_two_intervals(make):
    """Rows that are wrong on the same samples differ by little, however hard the samples are."""
    a = make(samples=600, groups=60, seeds=1, skill=1.0)
    p = a.probabilities.copy()
    flipped = np.flatnonzero(a.y_pred[0] == a.y_true)[::12]
    p[0, flipped] = np.roll(p[0, flipped], 1, axis=1)
    one = compare(a, replace(a, probabilities=p), "accuracy")
    unpaired = compare(
        make(samples=600, groups=60, seeds=1),
        make(samples=600, groups=60, seeds=1, seed=9),
        "accuracy",
    )
    assert one.verdict == "better"
    assert one.bootstrap_error < unpaired.bootstrap_error / 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["accuracy", "log_loss", "macro_f1_fold_mean"]))
def test_swapping_the_rows_turns_everything_round(make, seed, metric):
    a, b = make(seed=seed), make(seed=seed + 1, skill=1.5)
    one, other = (compare(*pair, metric, draws=300) for pair in ((a, b), (b, a)))
    assert one.difference == -other.difference
    assert one.low == pytest.approx(-other.high)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.superiority == pytest.approx(1 - other.superiority)
    turned = {"better": "worse", "worse": "better"}
    assert other.verdict == turned.get(one.verdict, one.verdict)


def test_rows_may_come_in_different_orders(make):
    a, b = make(seed=1), make(seed=2)
    shuffled = b.take(np.random.default_rng(0).permutation(60))
    first, second = compare(a, b, "accuracy"), compare(a, shuffled, "accuracy")
    assert first == second


def test_identical_predictions_are_never_separated(make):
    row = make()
    one = compare(row, row, "accuracy")
    assert (one.difference, one.p_value, one.superiority) == (0, 1, 0.5)
    assert one.verdict == "not separated"
    assert one.corrected_t.p_value == 1


def test_no_difference_in_any_group_leaves_room_for_one(make):
    """As a perfect score does: 12 groups leave 27% of groups that may differ."""
    row = make()
    one = compare(row, row, "accuracy", rope=0.2)
    bound = 1 - 0.025 ** (1 / 12)
    assert (one.low, one.high) == pytest.approx((-bound, bound))
    assert one.verdict == "not separated"
    assert compare(row, row, "accuracy", rope=0.3).verdict == "equivalent"
    assert np.isnan([compare(row, row, "log_loss").low, compare(row, row, "log_loss").high]).all()


@pytest.mark.parametrize(
    ("groups", "more", "verdict"),
    [
        (2, 1, "not separated"),
        (10, 5, "not separated"),
        (5, 16, "not separated"),
        (8, 16, "better"),
    ],
)
def test_the_same_difference_in_all_groups_is_better_where_its_interval_leaves_out_0(
    groups, more, verdict
):
    """So many more of 20 right in each: there is no spread that could tell an error."""
    a, b = (_right_in_each([20] * groups, missed) for missed in (4, 4 + more))
    one = compare(a, b, "accuracy", draws=500)
    assert one.difference == pytest.approx(more / 20)
    assert one.p_value == pytest.approx(min(1, 2 * (1 + more / 20) ** -groups))
    assert one.verdict == verdict
    assert (one.low > 0) == (verdict == "better")
    turned = compare(b, a, "accuracy", draws=500)
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low))


@pytest.mark.parametrize("groups", [2, 5, 8])
def test_the_same_log_loss_in_all_groups_is_as_sure_as_so_many_equal_signs(groups):
    a, b = (_right_in_each([20] * groups, missed) for missed in (4, 5))
    one = compare(a, b, "log_loss", draws=500)
    assert one.p_value == 2.0 ** (1 - groups)
    assert one.verdict == ("better" if groups > 5 else "not separated")
    assert np.isnan([one.low, one.high]).all()


@pytest.mark.parametrize("groups", [2, 5])
def test_almost_the_same_difference_in_few_groups_is_no_surer_than_equal_signs(groups):
    """One more right in groups of 20, 21 and so on: the small spread is luck."""
    sizes = range(20, 20 + groups)
    a, b = (_right_in_each(sizes, missed) for missed in (4, 5))
    one = compare(a, b, "accuracy", draws=500, rope=0.001)
    assert one.p_value == one.p_adjusted == 2.0 ** (1 - groups)
    assert one.verdict == "not separated"


@given(st.lists(st.integers(1, 500), min_size=1, max_size=9), st.floats(0, 1), st.floats(0, 0.2))
def test_the_p_value_without_spread_is_where_the_interval_ends_at_the_rope(
    groups, difference, rope
):
    unseen = Unseen(np.array(groups, float))
    (p,) = unseen.p_value(np.array([-difference]), rope)
    _, high = unseen.interval(np.array([-difference]), p)
    assert high == pytest.approx(-rope, abs=1e-9) if p < 1 else high >= -rope - 1e-9


def _right_in_each(sizes, missed):
    """All but so many samples right in each group, a group a fold."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    p = np.where((place >= missed)[:, None], [1.0, 0.0], [0.0, 1.0])
    p[place % 2 == 1] = p[place % 2 == 1, ::-1]
    ids = [f"s{i:03d}" for i in range(len(group))]
    return Predictions(ids, [f"g{g}" for g in group], group, place % 2, p[None], (1,), ("a", "b"))


def test_lower_is_better_where_the_metric_says_so(make):
    good, bad = make(samples=600, groups=60, skill=4.0), make(samples=600, groups=60, skill=0.0)
    one = compare(good, bad, "log_loss", draws=500)
    assert one.difference < 0
    assert (one.verdict, one.superiority) == ("better", 1.0)


@pytest.mark.parametrize(
    ("size", "verdict"),
    [
        ((0.10, 0.05, 0.15, 1e-4), "better"),
        ((-0.10, -0.15, -0.05, 1e-4), "worse"),
        ((0.02, -0.03, 0.07, 0.4), "not separated"),
        ((0.00, -0.01, 0.01, 1.0, 0.02), "equivalent"),
        ((0.00, -0.03, 0.03, 1.0, 0.02), "not separated"),
        ((0.02, 0.01, 0.03, 0.9, 0.02), "not separated"),
    ],
)
def test_verdicts(size, verdict):
    difference, low, high, p, *rope = size
    column = np.array([[difference > 0], [low], [high], [p]])
    (said,) = verdicts(column[0] > 0, *column[1:], rope[0] if rope else 0.0)
    assert VERDICTS[said] == verdict


def test_better_means_better_by_more_than_the_rope(make):
    a, b = (make(samples=2000, groups=200, seeds=1, skill=s, folds=1) for s in (1.3, 1.0))
    free, strict = (compare(a, b, "accuracy", rope=r) for r in (0.0, 0.2))
    assert free.verdict == "better"
    assert free.p_value == strict.p_value
    assert strict.p_adjusted == 1
    assert strict.verdict == "equivalent"


def test_holm_counts_the_comparisons_made_together(make):
    rows = {name: make(seed=i, skill=1 + i / 4) for i, name in enumerate("abcd")}
    pairs = compare_pairs(rows, all_pairs(rows), "accuracy", draws=300)
    assert len(pairs) == 6
    assert {one.family for one in pairs.values()} == {6}
    assert [one.p_adjusted for one in pairs.values()] == pytest.approx(
        holm([one.p_value for one in pairs.values()])
    )
    to_d = compare_pairs(rows, [(name, "d") for name in "abc"], "accuracy", draws=300)
    assert to_d["a", "d"].p_value == pairs["a", "d"].p_value
    assert {one.family for one in to_d.values()} == {3}


def test_a_negative_rope_is_an_error(make):
    with pytest.raises(MetricError, match=r"rope is -0\.1"):
        compare(make(), make(), "accuracy", rope=-0.1)


def test_rows_that_cannot_be_paired_are_refused_with_what_differs(make):
    a = make()
    moved = replace(a, group=np.roll(a.group, 1), y_true=(a.y_true + 1) % 3)
    with pytest.raises(MetricError, match=r"'a' and 'b'.*group .*and y_true"):
        compare(a, moved, "accuracy")
    with pytest.raises(MetricError, match="1 only in the first"):
        compare(a, a.take(np.arange(59)), "accuracy")


def test_undefined_folds_are_left_out_of_the_corrected_t(make):
    a = make(samples=48, groups=12, folds=12, classes=2)
    y = np.where(a.fold < 3, 0, a.y_true)
    a, b = (
        replace(row, y_true=y)
        for row in (a, make(samples=48, groups=12, folds=12, classes=2, seed=5))
    )
    values = list(fold_values(resolve("auroc_ovr", a.classes).kernel, Evidence.of(a)).values())
    defined = int(np.isfinite(values).sum())
    assert defined < 12
    assert compare(a, b, "auroc_ovr_fold_mean", draws=50).corrected_t.folds == defined


def test_seeds_need_not_be_as_many_in_both_rows(make):
    one = compare(make(seeds=3), make(seeds=1, seed=4), "accuracy", draws=100)
    assert np.isnan(one.seed_std)
    assert np.isfinite(one.p_value)


def test_one_group_separates_nothing(make):
    good, bad = (make(groups=1, folds=1, skill=s) for s in (5.0, 0.0))
    one = compare(good, bad, "accuracy", draws=50)
    assert one.difference > 0.3
    assert np.isnan([one.low, one.high]).all()
    assert (one.p_value, one.verdict) == (1, "not separated")


def test_classes_of_both_rows_have_to_agree(make):
    a = make()
    b = Predictions(
        a.sample_id, a.group, a.fold, a.y_true, a.probabilities, a.seeds, ("x", "y", "z")
    )
    with pytest.raises(MetricError, match=r"classes \(a, b, c and x, y, z\)"):
        compare(a, b, "accuracy")


def plain(a, b, metric, rope, draws):
    """One pair worked out by itself, as the definitions read."""
    metric = resolve(metric, a.classes)
    drawn = [
        bootstrap([metric.kernel(Evidence.of(row))], 12, draws=draws, seed=0) for row in (a, b)
    ]
    spread = np.ma.masked_invalid((drawn[0] - drawn[1])[0])
    apart = spread.compressed()
    values = [metric.kernel(Evidence.of(row))(np.ones((1, 12)))[0] for row in (a, b)]
    difference = values[0] - values[1]
    worth = effective_groups(a, metric)
    correction = 1 + a.folds * (1 / (a.folds - 1))
    factor = np.sqrt(worth / (worth - 1)) * np.sqrt(correction)
    error = spread.std(ddof=1) * factor if len(apart) > 1 else np.nan
    won = apart > 0 if metric.higher_is_better else apart < 0
    p = [1.0, 1.0]
    for i, edge in enumerate((0.0, rope)):
        if abs(difference) > edge and not np.isnan(error):
            p[i] = float(2 * stdtr(worth - 1, -(abs(difference) - edge) / error))
    half = stdtrit(worth - 1, 0.975) * error
    share = (np.sum(won) + 0.5 * np.sum(apart == 0)) / len(apart) if len(apart) else np.nan
    low, high = difference - half, difference + half
    if len(apart) and np.ptp(apart) < 1e-12:
        held = [len(np.unique(a.group[a.y_true == code])) for code in (0, 1)]
        bound = np.mean([1 - 0.025 ** (1 / n) for n in held]) if metric.unit == "share" else np.nan
        low, high = difference * (1 - bound) - bound, difference * (1 - bound) + bound
    return difference, low, high, error, *p, share


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("folds", [4, 12])
def test_a_board_of_pairs_says_of_each_what_it_says_alone(make, folds, higher):
    """Also where draws are undefined: few samples have the second class."""
    metric = ("auroc_ovr" if higher else "log_loss") + ("_fold_mean" if folds == 4 else "")
    y = np.isin(np.arange(36), [0, 13, 26]).astype(int)
    made = {
        n: make(seed=i, skill=i, samples=36, classes=2, folds=folds) for i, n in enumerate(NAMES)
    }
    rows = {name: replace(row, y_true=y) for name, row in made.items()}
    rows["twin"] = rows["b"]
    board = compare_pairs(rows, all_pairs(rows), metric, draws=400, rope=0.02)
    lone = [plain(rows[a], rows[b], metric, 0.02, 400) for a, b in board]
    adjusted = holm([one[5] for one in lone])
    for (pair, one), p_adjusted, (difference, low, high, error, p, _, share) in zip(
        board.items(), adjusted, lone, strict=True
    ):
        found = (one.difference, one.low, one.high, one.standard_error, one.p_value)
        found += (one.superiority, one.p_adjusted)
        expected = (difference, low, high, error, p, share, p_adjusted)
        assert found == pytest.approx(expected, rel=1e-12, abs=0, nan_ok=True), pair
        alone = compare(rows[pair[0]], rows[pair[1]], metric, draws=400, rope=0.02)
        assert (alone.seed_std, alone.corrected_t) == (one.seed_std, one.corrected_t)
        back = board[pair[::-1]]
        assert back.difference == -one.difference
        assert back.superiority == pytest.approx(1 - one.superiority, nan_ok=True)
        if one.corrected_t:
            assert back.corrected_t == replace(one.corrected_t, t=-one.corrected_t.t)
