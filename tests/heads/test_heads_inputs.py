"""Wrong settings and wrong inputs get one line; odd but right inputs get an answer."""

from dataclasses import replace

import numpy as np
import pytest

from backbench.errors import HeadError, TaskError
from backbench.folds import Fold
from backbench.heads import Problem, Unit, predict, settings_of, train
from backbench.heads.choose import first_best
from backbench.heads.settings import LinearSettings, LogregSettings

from .conftest import FAST, accuracy, make_case, softmax


def test_settings_are_complete_with_defaults_filled_in():
    assert settings_of({"kind": "linear", "lr": 1}) == LinearSettings(lr=1.0)
    assert settings_of({}) == LinearSettings()
    assert settings_of({"kind": "logreg", "C": [0.1, 1]}) == LogregSettings(C=(0.1, 1.0))


def test_an_unknown_head_names_the_nearest():
    with pytest.raises(HeadError, match="Did you mean 'logreg'"):
        settings_of({"kind": "logrec"})


def test_an_unknown_field_names_the_nearest():
    with pytest.raises(TaskError, match=r"Did you mean 'head\.patience'"):
        settings_of({"kind": "linear", "patiense": 3})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "linear", "lr": 0.0}, r"head\.lr"),
        ({"kind": "linear", "lr": []}, r"head\.lr.*empty"),
        ({"kind": "linear", "epochs": 0}, r"head\.epochs"),
        ({"kind": "linear", "warmup_epochs": 99.0}, r"head\.warmup_epochs"),
        ({"kind": "linear", "label_smoothing": 1.0}, r"head\.label_smoothing"),
        ({"kind": "mlp", "dropout": 1.0}, r"head\.dropout"),
        ({"kind": "logreg", "C": [1.0, -1.0]}, r"head\.C.*-1"),
        ({"kind": "ridge", "lambdas": float("nan")}, r"head\.lambdas"),
        ({"kind": "knn", "k": 0}, r"head\.k"),
        ({"kind": "knn", "temperature": 0.0}, r"head\.temperature"),
    ],
)
def test_a_value_out_of_range_is_refused(table, message):
    with pytest.raises(HeadError, match=message):
        settings_of(table)


@pytest.mark.parametrize("row", [0, 17])
def test_nan_in_the_features_is_refused_with_its_row(case, table, row):
    X = case.problem.X.copy()
    X[row, 2] = np.nan
    with pytest.raises(HeadError, match=rf"row {row} of the features has NaN"):
        train(table, replace(case.problem, X=X), case.units())


@pytest.mark.parametrize("kind", sorted(set(FAST) - {"knn"}))
@pytest.mark.parametrize("row", [0, 100, 239])
def test_a_row_so_far_out_that_float32_loses_the_others_is_refused(case, kind, row):
    """Also where no fold trains on it. To `knn` each row is its own measure."""
    X = case.problem.X.copy()
    X[row] *= 1e8
    with pytest.raises(HeadError, match=rf"row {row} of the features is over a million"):
        train(FAST[kind], replace(case.problem, X=X), case.units()[:1])


def test_a_column_that_hardly_any_row_uses_is_no_row_far_out(case):
    X = case.problem.X.copy()
    X[:, 5] = np.random.default_rng(0).normal(0, 1e-6, len(X))
    X[17, 5] = 50.0
    results = train(FAST["logreg"], replace(case.problem, X=X), case.units()[:1])
    assert np.isfinite(results[0].logits).all()


def test_rows_in_order_of_groups_that_hardly_differ_within_are_not_far_out(case):
    random, n = np.random.default_rng(0), len(case.problem.X)
    of_group = random.normal(size=(-(-n // 20), case.problem.X.shape[1]))
    X = np.repeat(of_group, 20, axis=0)[:n] + 1e-7 * random.normal(size=case.problem.X.shape)
    results = train(FAST["ridge"], replace(case.problem, X=X), case.units()[:1])
    assert np.isfinite(results[0].logits).all()
    X[7] *= 1e9
    with pytest.raises(HeadError, match="row 7 of the features is over a million"):
        train(FAST["ridge"], replace(case.problem, X=X), case.units()[:1])


def test_one_class_in_training_is_refused(case, table):
    y = np.zeros_like(case.problem.y)
    with pytest.raises(HeadError, match="trains on 1 class"):
        train(table, replace(case.problem, y=y), case.units())


def test_labels_outside_the_classes_are_refused(case, table):
    with pytest.raises(HeadError, match="labels go from 0 to 3"):
        train(table, replace(case.problem, classes=3), case.units())


def test_features_and_labels_of_different_length_are_refused(case, table):
    with pytest.raises(HeadError, match="do not fit labels"):
        train(table, replace(case.problem, y=case.problem.y[:-1]), case.units())


def test_a_unit_given_twice_is_refused(case, table):
    with pytest.raises(HeadError, match="given twice"):
        train(table, case.problem, case.units() + case.units()[:1])


def test_no_units_are_refused(case, table):
    with pytest.raises(HeadError, match="no units"):
        train(table, case.problem, [])


def test_a_fold_with_a_row_on_two_sides_is_refused(case, table):
    fold = case.folds[0]
    overlapping = Fold(0, "bad", fold.train, fold.val, np.append(fold.test, fold.train[0]))
    with pytest.raises(HeadError, match="two sides"):
        train(table, case.problem, [Unit(overlapping, 0)])


def test_choosing_without_validation_rows_is_refused(table):
    case = make_case(validation=False)
    with pytest.raises(HeadError, match=r"no validation rows.*folds\.validation"):
        train(table, case.problem, case.units())


def test_class_weights_of_the_wrong_length_are_refused(case):
    with pytest.raises(HeadError, match="2 numbers, but there are 4 classes"):
        train({"kind": "linear", "class_weights": [1.0, 2.0]}, case.problem, case.units())


def test_more_neighbours_than_rows_are_refused(case):
    with pytest.raises(HeadError, match=r"head\.k"):
        train({"kind": "knn", "k": 1000}, case.problem, case.units())


def test_features_of_another_width_are_refused_by_predict(case, table):
    result = train(table, case.problem, case.units()[:1])[0]
    with pytest.raises(HeadError, match="do not fit a head trained on 24 columns"):
        predict(table["kind"], result.weights, case.problem.X[:, :5])


def test_a_class_missing_from_training_gets_a_small_finite_probability(table):
    case = make_case()
    fold = case.folds[0]
    y = case.problem.y.copy()
    y[np.concatenate([fold.train, fold.val])] %= 3  # class 3 is only in the test rows
    result = train(table, replace(case.problem, y=y), [Unit(fold, 0)])[0]
    assert np.isfinite(result.logits).all()
    assert softmax(result.logits)[:, 3].mean() < 0.2


def test_constant_columns_and_columns_constant_in_training_have_no_say(case, table):
    """Column 5 varies in the test rows of the fold alone."""
    fold = case.folds[1]
    X = case.problem.X.copy()
    rest = np.setdiff1d(np.arange(len(X)), fold.test)
    X[rest, 5] = 2.0
    problem = replace(case.problem, X=X)
    result = train(table, problem, [Unit(fold, 0)])[0]
    assert np.isfinite(result.logits).all()
    if table["kind"] != "knn":
        probe = X[fold.test].copy()
        probe[:, 5] = 1e6
        probe[:, 3] = -1e6
        again = predict(table["kind"], result.weights, probe)
        np.testing.assert_allclose(again, result.logits, atol=1e-4)


def test_every_head_learns(case, table):
    assert accuracy(case, train(table, case.problem, case.units())) > 0.55


def test_progress_ends_where_it_says(case, table):
    seen = []
    train(
        table, case.problem, case.units(), progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_double_precision_features_are_taken_too(table):
    case = make_case()
    problem = Problem(case.problem.X.astype(np.float64), case.problem.y, 4, folds=8)
    assert set(FAST) >= {table["kind"]}
    assert np.isfinite(train(table, problem, case.units()[:1])[0].logits).all()


@pytest.mark.parametrize("monitor", ["val_loss", "accuracy"])
@pytest.mark.parametrize("patience", [0, 2])
def test_a_learning_rate_that_ends_in_nan_is_never_chosen(case, monitor, patience):
    table = FAST["mlp"] | {"lr": [1e12, 1e-3], "monitor": monitor, "patience": patience}
    for result in train(table, case.problem, case.units()[:2]):
        assert result.chosen["lr"] == 1e-3
        assert np.isfinite(result.logits).all()


@pytest.mark.parametrize(("patience", "words"), [(0, "are not finite"), (2, "no epoch had finite")])
def test_logits_that_are_not_finite_are_refused_with_the_unit(case, patience, words):
    table = FAST["mlp"] | {"lr": 1e30, "patience": patience}
    with pytest.raises(HeadError, match=rf"fold g0, seed 5: .*{words}.*lower head\.lr"):
        train(table, case.problem, case.units(5))


@pytest.mark.parametrize(
    ("scores", "best"),
    [([np.nan, 0.1], 1), ([0.1, np.nan], 0), ([np.nan, np.nan], 0), ([0.5, 0.5 + 1e-12], 0)],
)
def test_nan_loses_and_of_equals_the_first_is_best(scores, best):
    assert first_best(scores) == best
