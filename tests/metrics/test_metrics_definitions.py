"""Each metric against scikit-learn, or against its definition written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from sklearn import metrics as reference

from backbench.errors import MetricError
from backbench.metrics import METRICS, auroc, resolve
from backbench.metrics.auroc import _by_components, _of_class
from backbench.metrics.evidence import Evidence
from backbench.metrics.resampling import bootstrap_weights

CLASSES = tuple("abcde")


@st.composite
def scored(draw):
    """Labels `[N]` and probabilities `[N, C]`, ties and absent classes included."""
    C = draw(st.integers(2, 5))
    n = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([2, 5, 1000]))
    p = random.integers(1, levels + 1, (n, C)).astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    return random.integers(0, draw(st.integers(1, C)), n), p


def value(name, y, p):
    return resolve(name, CLASSES[: p.shape[1]]).function(y, p)


@settings(deadline=None)
@given(scored())
def test_metrics_of_decisions_equal_scikit_learn(data):
    y, p = data
    said = p.argmax(axis=1)
    assert value("accuracy", y, p) == pytest.approx(reference.accuracy_score(y, said))
    assert value("macro_f1", y, p) == pytest.approx(reference.f1_score(y, said, average="macro"))
    assert value("weighted_f1", y, p) == pytest.approx(
        reference.f1_score(y, said, average="weighted")
    )
    recalls = [(said[y == c] == c).mean() for c in np.unique(y)]
    assert value("balanced_accuracy", y, p) == pytest.approx(np.mean(recalls))


@settings(deadline=None)
@given(scored())
def test_metrics_of_a_class_equal_scikit_learn(data):
    y, p = data
    said = p.argmax(axis=1)
    codes = list(range(p.shape[1]))
    every = {"labels": codes, "average": None}
    f1 = reference.f1_score(y, said, zero_division=0, **every)
    precision = reference.precision_score(y, said, zero_division=np.nan, **every)
    recall = reference.recall_score(y, said, zero_division=np.nan, **every)
    for code, label in enumerate(CLASSES[: p.shape[1]]):
        assert value(f"f1_{label}", y, p) == pytest.approx(f1[code])
        assert value(f"precision_{label}", y, p) == pytest.approx(precision[code], nan_ok=True)
        assert value(f"recall_{label}", y, p) == pytest.approx(recall[code], nan_ok=True)


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum")
@settings(deadline=None)
@given(scored())
def test_log_loss_equals_scikit_learn(data):
    y, p = data
    labels = list(range(p.shape[1]))
    expected = reference.log_loss(y, p.astype(np.float64), labels=labels)
    assert value("log_loss", y, p) == pytest.approx(expected, rel=1e-5)


def test_a_wrong_certainty_costs_a_finite_log_loss():
    p = np.array([[1.0, 0.0]], np.float32)
    assert value("log_loss", np.array([1]), p) == pytest.approx(15.942, abs=1e-3)


@settings(deadline=None)
@given(scored())
def test_auroc_equals_counting_pairs_and_scikit_learn(data):
    y, p = data
    codes = [1] if p.shape[1] == 2 else range(p.shape[1])
    each = [_pairs(p[y == c, c], p[y != c, c]) for c in codes if 0 < (y == c).sum() < len(y)]
    expected = np.mean(each) if each else np.nan
    assert value("auroc_ovr", y, p) == pytest.approx(expected, nan_ok=True)
    if len(np.unique(y)) == p.shape[1] > 2:
        theirs = reference.roc_auc_score(y, p.astype(float), multi_class="ovr")
        assert value("auroc_ovr", y, p) == pytest.approx(theirs)


@settings(deadline=None)
@given(scored(), st.integers(1, 9), st.sampled_from([1, 1 << 20]))
def test_weighted_auroc_weighs_each_pair_by_both_groups(data, groups, at_once):
    """However many groups are counted at once."""
    y, p = data
    random = np.random.default_rng(len(y))
    cell = random.integers(0, groups, len(y))
    weights = np.vstack([np.ones((1, groups)), random.integers(0, 3, (4, groups))])
    evidence = Evidence(y, p[None], p.argmax(axis=1)[None], np.zeros_like(y), cell, groups)
    above = (p[:, None, 0] > p[:, 0]) / 2 + (p[:, None, 0] >= p[:, 0]) / 2
    of_sample = weights[:, cell]
    right = [(w[y == 0, None] * w[y != 0] * above[y == 0][:, y != 0]).sum() for w in of_sample]
    pairs = [w[y == 0].sum() * w[y != 0].sum() for w in of_sample]
    expected = [a / b if b else np.nan for a, b in zip(right, pairs, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auroc, "_COUNTED_AT_ONCE", at_once)
        found = _of_class(evidence, 0)(weights)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(_of_class(evidence, 0)(weights[:1]), found[:1])


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(0, 80), st.integers(0, 10**6))
def test_auroc_is_that_of_the_logits_however_sure_the_head_is(classes, sure, seed):
    """A float32 probability is 1 from log-odds of 17 on."""
    random = np.random.default_rng(seed)
    y = np.append(np.arange(classes), random.integers(0, classes, 60))
    logits = np.round(sure * random.random((len(y), classes)), 2)
    p = softmax(logits, axis=1).astype(np.float32)
    odds = [logits[:, c] - logsumexp(np.delete(logits, c, 1), axis=1) for c in range(classes)]
    each = [reference.roc_auc_score(y == c, np.round(odds[c], 9)) for c in range(classes)]
    expected = each[1] if classes == 2 else np.mean(each)
    assert value("auroc_ovr", y, p) == pytest.approx(expected, abs=1e-3)


def test_a_perfect_order_of_more_pairs_than_float32_counts_is_exactly_one():
    y = np.repeat([0, 1], [5003, 5001])
    assert value("auroc_ovr", y, np.eye(2, dtype=np.float32)[y]) == 1


@settings(deadline=None)
@given(scored())
def test_the_way_for_many_groups_gives_the_same_auroc(data):
    y, p = data
    cell = np.arange(len(y))
    evidence = Evidence(y, p[None], p.argmax(axis=1)[None], np.zeros_like(y), cell, len(y))
    ones = np.ones((1, len(y)))
    for code in np.unique(y) if len(np.unique(y)) > 1 else []:
        expected = _pairs(p[y == code, code], p[y != code, code])
        assert _by_components(evidence, code)(ones)[0] == pytest.approx(expected)


def test_the_way_for_many_groups_scatters_alike():
    """On 2,000 groups, draw by draw, it differs by a small part of the spread over draws."""
    random = np.random.default_rng(0)
    y = random.integers(0, 4, 2_000)
    p = random.normal(size=(2, 2_000, 4)) + np.eye(4)[y]
    p = (np.exp(p) / np.exp(p).sum(axis=2, keepdims=True)).astype(np.float32)
    own = np.arange(2_000)
    evidence = Evidence(y, p, p.argmax(axis=2), np.zeros_like(y), own, 2_000)
    weights = next(bootstrap_weights(2_000, 100, seed=1))
    exact = _of_class(evidence, 1)(weights)
    quick = _by_components(evidence, 1)(weights)
    assert (quick - exact).std() < 0.05 * exact.std()
    assert quick.std() == pytest.approx(exact.std(), rel=0.01)


def _pairs(high, low):
    return ((high[:, None] > low).mean() + (high[:, None] >= low).mean()) / 2


@settings(deadline=None)
@given(scored())
def test_calibration_error_equals_its_definition(data):
    y, p = data
    top, right = p.max(axis=1).astype(float), p.argmax(axis=1) == y
    expected = 0.0
    for b in range(15):
        inside = (top > b / 15) & (top <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    assert value("ece", y, p) == pytest.approx(expected, abs=1e-6)


def test_directions_and_words_are_complete():
    lower = {name for name, row in METRICS.items() if not row.higher_is_better}
    assert lower == {"log_loss", "ece"}
    assert all(row.definition.endswith(".") and row.undefined for row in METRICS.values())


def test_one_class_has_no_auroc_and_says_why():
    metric = METRICS["auroc_ovr"]
    assert np.isnan(metric.function(np.array([0, 0]), np.full((2, 3), 1 / 3)))
    assert metric.undefined == "only one class among the samples"


def test_with_two_classes_f1_means_the_second_one():
    assert resolve("f1", ("no", "yes")).definition == resolve("f1_yes", ("no", "yes")).definition
    assert resolve("f1_fold_mean", ("no", "yes")).form == "fold_mean"
    with pytest.raises(MetricError, match="unknown metric 'f1'"):
        resolve("f1", CLASSES)


@pytest.mark.parametrize(
    ("given_name", "near"),
    [("acuracy", "accuracy"), ("f1d_b", "f1_b"), ("macro_f1_fold_means", "macro_f1_fold_mean")],
)
def test_an_unknown_metric_is_an_error_with_the_nearest_name(given_name, near):
    with pytest.raises(MetricError, match=f"Did you mean '{near}'"):
        resolve(given_name, ("a", "b", "c"))


def test_class_names_with_blanks_work():
    classes = ("Toe drain", "Toe drain- Blocked")
    assert resolve("f1_Toe drain- Blocked", classes).name == "f1_Toe drain- Blocked"
