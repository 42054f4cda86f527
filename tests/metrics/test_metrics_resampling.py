"""A draw computed from sums per group equals resampling the rows by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from backbench.metrics import METRICS, Predictions, fold_mean, resolve
from backbench.metrics.evidence import Evidence
from backbench.metrics.resampling import bootstrap, bootstrap_weights, pseudo_values

NAMES = [*METRICS, "f1_a", "recall_b"]


def by_hand(row, weights, name):
    """Rows of each group repeated as often as it was drawn; metric of each seed, averaged."""
    metric = resolve(name, row.classes)
    rows = np.repeat(np.arange(len(row)), weights[row.group_codes].astype(int))
    if not len(rows):
        return np.nan
    values = [metric.function(row.y_true[rows], p[rows]) for p in row.probabilities]
    return np.nanmean(values) if np.isfinite(values).any() else np.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 4))
def test_weights_equal_repeated_rows(make, seed, ties, classes):
    row = make(seed=seed, ties=ties, classes=classes)
    evidence = Evidence.of(row)
    weights = np.random.default_rng(seed).integers(0, 4, (5, 12)).astype(float)
    weights[0] = 0
    for name in NAMES:
        values = resolve(name, row.classes).kernel(evidence)(weights)
        expected = [by_hand(row, one, name) for one in weights]
        assert values == pytest.approx(expected, nan_ok=True, abs=1e-9), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_a_fold_mean_of_weights_is_the_weighted_mean_of_folds(make, seed, classes):
    row = make(seed=seed, classes=classes, folds=5)  # of 3, 3, 2, 2 and 2 groups
    evidence = Evidence.of(row)
    weights = np.random.default_rng(seed).integers(0, 3, (4, 12)).astype(float)
    for name in NAMES[:-1]:
        metric = resolve(name + "_fold_mean", row.classes)
        for draw, value in zip(weights, metric.kernel(evidence)(weights), strict=True):
            folds, shares = [], []
            for fold in np.unique(row.fold):
                rows = np.flatnonzero(row.fold == fold)
                inside = row.take(rows)
                groups = np.flatnonzero(np.isin(row.group_names, inside.group_names))
                folds.append(by_hand(inside, draw[groups], name))
                shares.append(draw[groups].mean())
            defined = np.isfinite(folds) & (np.array(shares) > 0)
            expected = np.average(np.array(folds)[defined], weights=np.array(shares)[defined])
            assert value == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 10), st.sampled_from([1, 5, 12]), st.booleans())
def test_folds_summed_in_one_go_are_those_looked_at_one_by_one(make, seed, classes, folds, torn):
    """Draws bit for bit; also where a group is tested in several folds."""
    row = make(seed=seed, classes=classes, folds=folds)
    if torn:
        row = replace(row, fold=np.random.default_rng(seed).integers(0, folds, len(row)))
    evidence, draws = Evidence.of(row), next(bootstrap_weights(12, 30, seed))
    for name in NAMES:
        kernel = resolve(name, row.classes).kernel
        alone = fold_mean._one_by_one(kernel, evidence)
        folds_ = fold_mean._folds(kernel, evidence)
        for one, other in zip(alone, folds_, strict=True):
            assert one.number == other.number
            assert one.value == pytest.approx(other.value, rel=1e-12, nan_ok=True), name
            assert np.array_equal(one.groups, other.groups)
            weights = draws[:, one.groups]
            pair = one.evaluate(weights), other.evaluate(weights)
            assert np.array_equal(*pair, equal_nan=True), name


def test_with_a_group_a_fold_the_fold_mean_resamples_folds(make):
    row = make(groups=12, folds=12, samples=120)
    metric = resolve("macro_f1_fold_mean", row.classes)
    weights = np.random.default_rng(0).integers(0, 3, (1, 12)).astype(float)
    values = [
        by_hand(row.take(np.flatnonzero(row.group == g)), np.ones(1), "macro_f1")
        for g in row.group_names
    ]
    assert metric.kernel(Evidence.of(row))(weights)[0] == pytest.approx(
        np.average(values, weights=weights[0])
    )


def test_draws_have_as_many_groups_as_there_are_and_every_group_alike():
    weights = np.vstack(list(bootstrap_weights(50, 20_000, seed=3)))
    assert weights.shape == (20_000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.05)
    assert weights.var(axis=0) == pytest.approx(np.full(50, 0.98), abs=0.08)


def test_draws_are_seeded_and_shared_by_all_evaluators(make):
    evaluators = [METRICS["accuracy"].kernel(Evidence.of(make(seed=s))) for s in (1, 1, 2)]
    first = bootstrap(evaluators, 12, draws=200, seed=5)
    assert np.array_equal(first, bootstrap(evaluators, 12, draws=200, seed=5))
    assert not np.array_equal(first, bootstrap(evaluators, 12, draws=200, seed=6))
    assert np.array_equal(first[0], first[1])


def test_single_precision_draws_are_right_to_six_digits(make):
    row = make(samples=900, groups=300)
    for name in METRICS:
        evaluate = METRICS[name].kernel(Evidence.of(row))
        weights = next(bootstrap_weights(300, 50, seed=1))
        exact = evaluate(weights.astype(np.float64))
        assert evaluate(weights) == pytest.approx(exact, abs=3e-6), name


def test_pseudo_values_of_a_mean_are_its_groups(make):
    """For accuracy with equal groups the pseudo-value of a group is its own accuracy."""
    row = make()
    pseudo = pseudo_values([METRICS["accuracy"].kernel(Evidence.of(row))], 12)[0]
    right = (row.y_pred == row.y_true).mean(axis=0)
    own = [right[row.group == g].mean() for g in row.group_names]
    assert pseudo == pytest.approx(np.array(own))


def test_thousands_of_groups_are_left_out_in_blocks():
    n = 2_500
    y = np.random.default_rng(0).integers(0, 2, n)
    p = np.full((1, n, 2), 0.5)
    row = Predictions(np.arange(n), np.arange(n), np.zeros(n, int), y, p, (0,), ("a", "b"))
    pseudo = pseudo_values([METRICS["accuracy"].kernel(Evidence.of(row))], n)[0]
    assert len(pseudo) == 1_000
    assert pseudo.std(ddof=1) / np.sqrt(1_000) == pytest.approx(0.5 / np.sqrt(n), rel=0.1)


def test_products_stay_on_one_core_while_draws_are_evaluated():
    def blas_threads():
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    def evaluate(weights):
        seen.append(blas_threads())
        return weights.sum(axis=1)

    seen: list[set[int]] = []
    with threadpool_limits(2, user_api="blas"):
        bootstrap([evaluate], 5, draws=10, seed=0)
        pseudo_values([evaluate], 5)
        assert blas_threads() == {2}
    assert seen[:2] == [{1}, {1}]
