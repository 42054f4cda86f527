"""Each guard with the fault planted, and silence where there is none."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from backbench.leaderboard import Guard, audits, build_board, guards
from backbench.leaderboard.guard import merged
from backbench.leaderboard.guessing import chance
from backbench.metrics import Predictions, resolve, summarise
from backbench.metrics.timeline import Timeline
from backbench.tasks import MetricSettings

DRAWS = 500


def fired(board):
    return {row.name: [guard.name for guard in row.guards] for row in board.rows}


def constant(predictions, code=1):
    p = np.full_like(predictions.probabilities, 0.01)
    p[..., code] = 1 - 0.01 * (p.shape[2] - 1)
    return type(predictions)(
        predictions.sample_id, predictions.group, predictions.fold, predictions.y_true,
        p, predictions.seeds, predictions.classes,
    )  # fmt: skip


def test_a_constant_predictor_is_named_with_its_class_and_share(predictions):
    guard = guards.constant_predictor(constant(predictions()))
    assert (guard.name, guard.severity, guard.number) == ("constant_predictor", "fault", 1.0)
    assert "'mild' for 100.0% of the samples (seed 42)" in guard.message
    assert guards.constant_predictor(predictions()) is None


def test_one_constant_seed_among_three_is_enough(predictions):
    p = predictions()
    mixed = p.probabilities.copy()
    mixed[1] = constant(p).probabilities[1]
    changed = type(p)(p.sample_id, p.group, p.fold, p.y_true, mixed, p.seeds, p.classes)
    assert "seed 123" in guards.constant_predictor(changed).message


def test_identical_predictions_flag_both_rows_on_the_board(entry, task):
    first = entry("single_01", 2.0)
    second = entry("single_02", 2.0, predictions=first.predictions)
    board = build_board([first, second, entry("other")], task(), draws=DRAWS)
    found = fired(board)
    assert found["single_01"] == found["single_02"] == ["identical_predictions"]
    assert found["other"] == []
    assert (
        "identical to those of single_02"
        in board.rows[[row.name for row in board.rows].index("single_01")].guards[0].message
    )


def test_identical_predictions_of_the_same_weights_are_said_to_be_that(entry, task):
    """Two names of one file are no fault; two files that predict the same are one."""
    first = entry("a", 2.0)
    rows = [first, entry("b", predictions=first.predictions)]
    (guard,) = build_board(rows, task(), draws=DRAWS).rows[0].guards
    assert guard.message.endswith(" of b: the weights are, too, by their hash.")
    assert guard.severity == "warning"
    for weights in ("e" * 64, "unknown"):
        other = entry("c", predictions=first.predictions, lineage={"weights": weights})
        found = build_board([*rows, other], task(), draws=DRAWS).rows
        assert {guard.severity for row in found for guard in row.guards} == {"fault"}
        assert found[0].guards[0].message.endswith("were the weights really loaded?")


def test_identical_predictions_are_found_in_any_order_of_the_samples(entry, task, predictions):
    p = predictions(2.0)
    turned = p.take(np.random.default_rng(0).permutation(len(p)))
    assert set(guards.identical_predictions({"a": p, "b": turned})) == {"a", "b"}
    rows = [entry("a", predictions=p), entry("b", predictions=turned)]
    board = build_board(rows, task(), draws=DRAWS)
    assert fired(board) == {"a": ["identical_predictions"], "b": ["identical_predictions"]}


def test_a_row_at_chance_is_flagged_with_the_chance_level(entry, task):
    board = build_board([entry("clip"), entry("noise", 0.0)], task(), draws=DRAWS)
    assert fired(board) == {"clip": [], "noise": ["chance_level"]}
    assert "cannot be told from guessing (0.25" in board.rows[1].guards[0].message


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [
        ("accuracy", 0.25, 0.32),
        ("balanced_accuracy", 0.24, 0.26),
        ("macro_f1", 0.2, 0.28),
        ("auroc_ovr", 0.48, 0.52),
        ("log_loss", 1.35, 1.4),
    ],
)
def test_chance_is_what_the_better_of_two_guessers_scores(predictions, metric, low, high):
    rule = resolve(metric, predictions().classes)
    assert low < chance(rule, predictions()) < high


def test_the_majority_share_is_chance_for_accuracy(predictions):
    p = predictions()
    y = np.where(np.arange(len(p)) % 10 < 9, 0, 1)
    skewed = type(p)(p.sample_id, p.group, p.fold, y, p.probabilities, p.seeds, p.classes)
    assert chance(resolve("accuracy", p.classes), skewed) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("metric", "level"),
    [("f1", 2 / 3), ("auc", 0.9), ("onset_mae_days", 0.0), ("accuracy", 5 / 6)],
)
def test_who_guesses_over_time_knows_the_day(metric, level):
    """Every second plant turns on day 3 of 3: from then on half of what is said is right."""
    steps = Timeline(np.repeat(list("abcd"), 3), [1, 2, 3] * 4, [True] * 12, [3] * 6 + [np.nan] * 6)
    y = np.array([0, 0, 1] * 2 + [0] * 6)
    p = np.full((1, 12, 2), 0.5)
    ids = [f"s{i}" for i in range(12)]
    row = Predictions(ids, steps.series, [0] * 12, y, p, (1,), ("no", "yes"), steps)
    assert chance(resolve(metric, row.classes), row) == pytest.approx(level, abs=0.02)


def test_calibration_error_has_no_chance_level(predictions):
    assert np.isnan(chance(resolve("ece", predictions().classes), predictions()))


def test_a_metric_where_lower_is_better_is_judged_in_its_own_direction(entry, task):
    by_loss = task(metrics=MetricSettings("log_loss"))
    assert fired(build_board([entry("clip", 2.5)], by_loss, draws=DRAWS)) == {"clip": []}
    assert fired(build_board([entry("n", 0.0)], by_loss, draws=DRAWS)) == {"n": ["chance_level"]}


def sure(predictions, groups, p=0.999):
    """As sure of the right class everywhere, so that all groups show the same loss."""
    one = predictions(groups=groups)
    said = np.full_like(one.probabilities, (1 - p) / 3)
    said[:, np.arange(len(one)), one.y_true] = p
    return replace(one, probabilities=said)


def test_the_same_good_loss_in_all_groups_beats_guessing_where_the_groups_are_enough(
    entry, task, predictions
):
    by_loss = task(metrics=MetricSettings("log_loss"))
    few, enough = (entry("knn", predictions=sure(predictions, groups)) for groups in (5, 6))
    assert fired(build_board([enough], by_loss, draws=DRAWS)) == {"knn": []}
    (row,) = build_board([few], by_loss, draws=DRAWS).rows
    assert row.guards[0].message.startswith("log loss 0.001 cannot be told from guessing (1.")


@pytest.mark.parametrize("shuffle", ["true", "2"])
def test_permuted_labels_that_score_above_chance_are_a_leak(entry, task, shuffle):
    permuted = {"permute_labels": shuffle}
    rows = [entry("leaky", 1.5, fields=permuted), entry("clean", 0.0, fields=permuted)]
    board = build_board(rows, task(permute_labels=json.loads(shuffle)), draws=DRAWS)
    leaky, clean = (row.guards[0] for row in board.rows)
    assert (leaky.name, leaky.severity) == ("permuted_labels", "fault")
    assert "something leaks" in leaky.message
    assert (clean.name, clean.severity) == ("permuted_labels", "note")
    assert fired(board)["clean"] == ["permuted_labels"], "chance is right here, not a fault"


def test_a_task_file_changed_after_its_run_shows_version_or_hash(entry, task):
    row = entry("clip", task_hash="a" * 16)
    board = build_board([row], task(), task_hash="b" * 16, draws=DRAWS)
    assert fired(board) == {"clip": ["task_changed"]}
    assert (
        "still version 1, but hash aaaaaaaa then, bbbbbbbb now" in board.rows[0].guards[0].message
    )
    newer = build_board([row], task(version=2), draws=DRAWS)
    assert "version 1 then, 2 now" in newer.rows[0].guards[0].message
    known = build_board([row], task(), task_hash="a" * 16, draws=DRAWS)
    assert fired(known) == {"clip": []}


def test_guards_of_the_evaluation_stay_on_the_board(entry, task):
    found = Guard("near_duplicates", "3 pairs.", 3, "warning", ("a and b",))
    board = build_board([entry("clip", guards=(found,))], task(), draws=DRAWS)
    assert board.rows[0].guards == (found,)
    assert not board.rows[0].flagged


def test_a_guard_survives_json():
    guard = Guard("x", "y", 1.5, "note", ("a", "b"))
    assert Guard.from_dict(guard.to_dict()) == guard


def test_faults_come_first_and_nothing_twice():
    note, fault = Guard("a", "m", 0, "note"), Guard("z", "m", 0, "fault")
    assert merged([note, fault, note]) == (fault, note)


# --- features, folds, coverage, transforms -------------------------------------------------------


def test_features_that_are_not_finite_are_a_fault():
    guard = audits.features_not_finite(["s3", "s7"], 100)
    assert guard.message == "2 of 100 feature vectors hold NaN or infinite values."
    assert (guard.number, guard.details) == (2.0, ("s3", "s7"))
    assert audits.features_not_finite([], 100) is None


def test_constant_columns_are_a_note_and_a_fault_when_all_are():
    assert audits.features_zero_variance(3, 64).severity == "note"
    assert audits.features_zero_variance(64, 64).severity == "fault"
    assert audits.features_zero_variance(0, 64) is None


def test_a_head_that_stays_near_its_random_start_is_told_with_what_to_do():
    guard = audits.undertrained(0.07)
    assert (guard.severity, guard.number) == ("warning", 0.07)
    assert "by 0.07 of the range it is drawn from" in guard.message
    assert audits.undertrained(1.0) is None


def test_duplicated_rows_are_reported_with_examples():
    guard = audits.features_duplicated(2, 10, [("a", "b")])
    assert (guard.severity, guard.details) == ("warning", ("a and b",))
    assert audits.features_duplicated(10, 10).severity == "fault"
    assert audits.features_duplicated(0, 10) is None


def test_near_duplicates_across_folds_come_with_their_pairs():
    guard = audits.near_duplicates([("a", "b", 0.9999)], 0.999, 17)
    assert guard.number == 17
    assert guard.details == ("a and b: cosine 0.9999",)
    assert audits.near_duplicates([], 0.999, 0) is None


def test_pairs_of_features_that_all_lie_close_together_are_a_note():
    pairs = [("a", "b", 0.9999)]
    wide, narrow = (audits.near_duplicates(pairs, 0.999, 9731, narrow=n) for n in (False, True))
    assert (wide.severity, narrow.severity) == ("warning", "note")
    assert wide.message == "9,731 pairs in different folds with cosine 0.999 or more."
    assert narrow.message.endswith("are nearly parallel, so that tells no copies.")


def test_a_group_on_both_sides_is_named():
    groups = np.array(["p1", "p1", "p2", "p3"])
    guard = audits.group_on_both_sides(groups, np.array([0, 2]), np.array([1, 3]), "0")
    assert (guard.severity, guard.number, guard.details) == ("fault", 1, ("p1",))
    assert audits.group_on_both_sides(groups, np.array([0, 1]), np.array([2]), "0") is None


def coverage():
    return pd.DataFrame({
        "sample_id": list("abcdef"),
        "label": ["x", "x", "x", "y", "y", "y"],
        "split": ["train", "train", "test", "train", "test", "test"],
        "site": ["UW", "UW", "UW", "UAB", "UAB", "UAB"],
    })  # fmt: skip


def test_coverage_loss_is_counted_by_split_class_and_site():
    guard = audits.coverage_loss(coverage(), set("abcde"), set("abcd"))
    assert guard.message == "6 samples asked for, 5 found, 4 used: 33.3% lost."
    assert guard.severity == "warning"
    assert "site 'UAB': 3 asked, 2 found, 1 used" in guard.details
    assert "class 'y': 3 asked, 2 found, 1 used" in guard.details
    assert audits.coverage_loss(coverage(), set("abcdef"), set("abcdef")) is None


def test_losing_a_whole_site_is_a_fault():
    """One of three sites was dropped by an id pattern, and nobody noticed."""
    guard = audits.coverage_loss(coverage(), set("abc"), set("abc"))
    assert guard.severity == "fault"
    assert "nothing is left of class 'y' and site 'UAB'" in guard.message


def test_coverage_without_splits_or_sites_still_counts_classes():
    asked = coverage()[["sample_id", "label"]].assign(split="")
    assert audits.coverage_loss(asked, set("ab"), set("ab")).details == (
        "class 'x': 3 asked, 2 found, 2 used",
        "class 'y': 3 asked, 0 found, 0 used",
    )


def test_coverage_is_counted_by_the_columns_that_the_task_names():
    asked = coverage()[["sample_id"]].assign(cultivar=list("ppqqrr"))
    guard = audits.coverage_loss(asked, set("abcd"), set("abcd"), {"cultivar": "cultivar"})
    assert guard.severity == "fault"
    assert guard.details == ("cultivar 'r': 2 asked, 0 found, 0 used",)


def standardisation(X, rows):
    return audits.Moments(X[rows].mean(axis=0), X[rows].std(axis=0))


def fitted(recorded, X, train):
    whole, (training,) = audits.moments(X, [train])
    return audits.transform_fitted_on_test_rows(recorded, training, whole, "fold 3")


def test_a_transform_fitted_on_test_rows_is_caught():
    """Test rows shift the mean: the leak of the original fluorescence z-scores."""
    X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    X[50:] += 1.0
    train, everyone = np.arange(50), np.arange(60)
    guard = fitted(standardisation(X, everyone), X, train)
    assert guard.severity == "fault"
    assert guard.number > 0.1
    assert "fold 3: the standardisation is not that of the training rows" in guard.message
    assert fitted(standardisation(X, train), X, train) is None


def test_constant_columns_do_not_make_a_transform_look_leaked():
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    X[:, 1] = 7.0
    train = np.arange(30)
    kept = standardisation(X, train)
    kept.spread[1] = 1.0
    assert fitted(kept, X, train) is None


def planted(n=3000, d=64):
    """Columns far from zero, of very different spread, one constant, with gaps."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 3, d) + rng.normal(size=d) * 1e4
    X[:, 5] = 7.0
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, [np.sort(rng.choice(n, n // 3, replace=False)) for _ in range(4)]


def test_moments_of_every_side_are_those_of_its_rows(monkeypatch):
    X, sides = planted()
    monkeypatch.setattr(audits, "_BLOCK_BYTES", 8 * 64 * 700)
    whole, each = audits.moments(X, sides)
    for found, rows in zip((whole, *each), (np.arange(len(X)), *sides), strict=True):
        np.testing.assert_allclose(found.mean, np.nanmean(X[rows], axis=0), rtol=1e-12)
        varies = np.arange(X.shape[1]) != 5
        wanted = np.nanstd(X[rows], axis=0)
        np.testing.assert_allclose(found.spread[varies], wanted[varies], rtol=1e-9)
        assert found.spread[5] < 1e-9


def test_a_column_of_which_nothing_is_known_has_moments_of_zero():
    X = np.array([[np.nan, 1.0], [np.nan, 3.0]], np.float32)
    whole, (none,) = audits.moments(X, [np.empty(0, np.int64)])
    assert (whole.mean.tolist(), whole.spread.tolist()) == ([0, 2], [0, 1])
    assert (none.mean.tolist(), none.spread.tolist()) == ([0, 0], [0, 0])


def test_moments_take_blocks_and_not_copies_of_all_features():
    X = np.ones((20_000, 512), np.float32)
    train = np.arange(15_000)
    tracemalloc.start()
    audits.moments(X, [train] * 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * X.nbytes


def test_the_chance_guard_needs_an_interval_that_covers_chance(predictions):
    (one,) = summarise(predictions(2.0), ["accuracy"], draws=DRAWS)
    assert guards.chance_level(one, 0.25) is None
    assert guards.chance_level(one, one.low) is not None
    assert guards.chance_level(one, float("nan")) is None
