import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from backbench.metrics import confusion, confusion_per_seed, per_class, per_group, resolve


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_the_confusion_matrix_is_scikit_learns_averaged_over_seeds(make, seed, classes):
    row = make(seed=seed, classes=classes)
    labels = list(range(classes))
    each = [confusion_matrix(row.y_true, said, labels=labels) for said in row.y_pred]
    assert np.array_equal(confusion_per_seed(row), each)
    assert confusion(row) == pytest.approx(np.mean(each, axis=0))
    assert confusion(row).sum() == pytest.approx(len(row))


def test_the_table_of_classes_is_scikit_learns_averaged_over_seeds(make):
    row, table = make(skill=2.0), per_class(make(skill=2.0))
    each = [precision_recall_fscore_support(row.y_true, said)[:3] for said in row.y_pred]
    assert list(table["class"]) == ["a", "b", "c"]
    assert list(table["support"]) == list(np.bincount(row.y_true))
    assert pytest.approx(np.mean(each, axis=0)) == table[["precision", "recall", "f1"]].to_numpy().T


def test_the_table_agrees_with_the_metrics_of_a_class(make):
    row = make(skill=2.0)
    for _, line in per_class(row).iterrows():
        metric = resolve(f"f1_{line['class']}", row.classes)
        values = [metric.function(row.y_true, p) for p in row.probabilities]
        assert line["f1"] == pytest.approx(np.mean(values))


def test_a_class_that_is_never_predicted_has_no_precision(make):
    row = make(classes=3)
    row.probabilities[:] = [0.6, 0.3, 0.1]
    table = per_class(row).set_index("class")
    assert np.isnan(table.loc["b", "precision"])
    assert (table.loc["b", "recall"], table.loc["b", "f1"], table.loc["b", "predicted"]) == (
        0,
        0,
        0,
    )


def test_the_table_of_groups_adds_up(make):
    row = make(seeds=3)
    table = per_group(row)
    assert list(table["group"]) == [f"g{i:03d}" for i in range(12)]
    assert table["samples"].sum() == len(row)
    assert table["correct"].sum() / len(row) == pytest.approx((row.y_pred == row.y_true).mean())
    assert list(table["folds"]) == ["0", "1", "2", "3"] * 3
    line = table.iloc[4]
    inside = row.group == "g004"
    by_seed = (row.y_pred == row.y_true)[:, inside].mean(axis=1)
    assert line["accuracy"] == pytest.approx(by_seed.mean())
    assert line["seed_std"] == pytest.approx(by_seed.std(ddof=1))


def test_one_seed_has_no_spread(make):
    assert per_group(make(seeds=1))["seed_std"].isna().all()
