"""Metrics over steps of series, against scikit-learn and against the definition written out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from backbench.errors import MetricError
from backbench.metrics import (
    Predictions,
    compare,
    confusion,
    fold_mean,
    per_class,
    per_group,
    resolve,
)
from backbench.metrics.effective import effective_groups
from backbench.metrics.evidence import Evidence
from backbench.metrics.pairing import differences
from backbench.metrics.resampling import bootstrap_weights
from backbench.metrics.timeline import Timeline
from backbench.metrics.uncertainty import summarise

DAYS = np.array([4.0, 9, 15, 21, 38, 38])
STEPS = len(DAYS)
EACH = 6  # plants of an accession, every second one dry


def watched(
    seed: int, *, groups: int = 5, seeds: int = 3, skill: float = 2.0, turns: float = 1.0
) -> Predictions:
    """Plants of accessions, one accession a fold; `turns` is the share of dry plants that turn."""
    random = np.random.default_rng(seed)
    plants = groups * EACH
    dry = np.arange(plants) % 2 == 1
    onset = np.where(dry & (random.random(plants) < turns), random.choice(DAYS, plants), np.nan)
    y = (onset[:, None] <= DAYS).astype(int)
    p = 1 / (1 + np.exp(-random.normal(skill * (2 * y - 1), 2, (seeds, plants, STEPS)).round(1)))
    names = np.array([f"p{i:02d}" for i in range(plants)])
    series = np.repeat(names, STEPS)
    scored = random.random(plants * STEPS) < 0.6
    scored[::STEPS] = True
    group = np.repeat(np.arange(plants) // EACH, STEPS)
    return Predictions(
        [f"{name}/{i % STEPS}" for i, name in enumerate(series)],
        [f"A{g}" for g in group],
        group,
        y.ravel(),
        np.stack([1 - p, p], axis=3).reshape(seeds, -1, 2),
        tuple(range(seeds)),
        ("unstressed", "stressed"),
        Timeline(series, np.tile(DAYS, plants), scored, np.repeat(onset, STEPS)),
    )


def published(row: Predictions, of_fold) -> float:
    """Mean over seeds within a fold, then over the folds that have a value."""
    folds = []
    for fold in np.unique(row.fold):
        at = row.fold == fold
        values = [of_fold(row, at, said[at], p[at]) for said, p in _each(row)]
        folds.append(np.mean(values))
    return float(np.mean([value for value in folds if not np.isnan(value)] or [np.nan]))


def _each(row: Predictions):
    return [(p[:, 1] > 0.5, p[:, 1]) for p in row.probabilities]


def f1(row, at, said, p) -> float:
    counts = row.timeline.scored[at]
    return f1_score(row.y_true[at][counts], said[counts], zero_division=0)


def auc(row, at, said, p) -> float:
    counts = row.timeline.scored[at]
    y = row.y_true[at][counts]
    return roc_auc_score(y, p[counts]) if len(set(y)) == 2 else np.nan


def onset_mae(row, at, said, p) -> float:
    time, errors = row.timeline, []
    for plant in dict.fromkeys(time.series[at]):
        mine = time.series[at] == plant
        day, turned = time.day[at][mine], said[mine]
        predicted = day[np.argmax(turned)] if turned.any() else day[-1]
        errors.append(abs(predicted - time.onset[at][mine][0]))
    known = [error for error in errors if not np.isnan(error)]
    return np.mean(known) if known else np.nan


def test_files_of_series_read_together_are_what_each_is_alone(tmp_path):
    """Of the same steps, of other days, of other scored steps."""
    row = watched(1)
    time = row.timeline
    rows = [
        row,
        replace(row, probabilities=row.probabilities[:, :, ::-1].copy()),
        replace(row, timeline=replace(time, day=time.day + 1)),
        replace(row, timeline=replace(time, scored=~time.scored)),
        replace(row, timeline=None),
    ]
    paths = [tmp_path / f"{place}.parquet" for place in range(len(rows))]
    for path, one in zip(paths, rows, strict=True):
        one.to_frame().to_parquet(path)
    for path, one in zip(paths, Predictions.read_all(paths), strict=True):
        alone = Predictions.read(path)
        assert differences(one, alone) == []
        assert np.array_equal(one.probabilities, alone.probabilities)
        assert np.array_equal(one.scored.y_pred, alone.scored.y_pred)


rows = st.builds(
    watched,
    st.integers(0, 10**6),
    groups=st.integers(1, 5),
    seeds=st.integers(1, 3),
    skill=st.sampled_from([-3.0, 0.0, 2.0]),
    turns=st.sampled_from([0.0, 0.3, 1.0]),
)


@settings(deadline=None, max_examples=40)
@given(rows)
@pytest.mark.parametrize(
    ("name", "by_hand"),
    [("f1_fold_mean", f1), ("auc_fold_mean", auc), ("onset_mae_days_fold_mean", onset_mae)],
)
def test_the_published_aggregate_equals_its_definition(name, by_hand, row):
    (estimate,) = summarise(row, [name], draws=10)
    expected = published(row, by_hand)
    assert estimate.value == pytest.approx(expected, nan_ok=True)
    undefined = sum(np.isnan(published(_fold(row, f), by_hand)) for f in np.unique(row.fold))
    assert sum(estimate.undefined.values()) == undefined


def _fold(row: Predictions, fold: int) -> Predictions:
    return row.take(np.flatnonzero(row.fold == fold))


@settings(deadline=None, max_examples=40)
@given(rows)
def test_pooled_onset_error_is_the_mean_over_plants_and_seeds(row):
    every = np.ones(len(row), bool)
    expected = np.mean([onset_mae(row, every, said, p) for said, p in _each(row)])
    assert summarise(row, ["onset_mae_days"], draws=10)[0].value == pytest.approx(
        expected, nan_ok=True
    )


@settings(deadline=None, max_examples=20)
@given(rows)
def test_weighting_groups_is_repeating_them(row):
    metric = resolve("onset_mae_days", row.classes)
    evidence = Evidence.of(row)
    weights = next(bootstrap_weights(evidence.cells, 5, seed=1))
    turns = evidence.turns
    for drawn, value in zip(weights, metric.kernel(evidence)(weights), strict=True):
        times = np.repeat(turns.days.mean(axis=0), drawn[turns.cell].astype(int))
        assert value == pytest.approx(times.mean() if times.size else np.nan, nan_ok=True)


def test_steps_without_an_observation_count_in_the_onset_only():
    row = watched(1)
    unseen = np.flatnonzero(~row.timeline.scored)
    flipped = row.probabilities.copy()
    flipped[:, unseen] = flipped[:, unseen, ::-1]
    other = replace(row, probabilities=flipped)
    for name in ("f1", "auc", "balanced_accuracy", "log_loss", "f1_fold_mean"):
        metric = resolve(name, row.classes)
        values = [metric.kernel(Evidence.of(x))(np.ones((1, 5)))[0] for x in (row, other)]
        assert values[0] == values[1]
        assert compare(row, other, name, draws=20).difference == 0
    assert confusion(row).sum() == row.timeline.scored.sum()
    assert per_class(row)["support"].sum() == row.timeline.scored.sum()
    assert per_group(row)["samples"].sum() == row.timeline.scored.sum()
    onset = [summarise(x, ["onset_mae_days"], draws=10)[0].value for x in (row, other)]
    assert onset[0] != onset[1]


def test_a_plant_that_is_never_said_to_turn_turns_on_the_last_day():
    row = watched(2, seeds=1)
    never = np.broadcast_to(np.float32([1, 0]), row.probabilities.shape)
    (estimate,) = summarise(replace(row, probabilities=never), ["onset_mae_days"])
    onset = row.timeline.onset[::STEPS]
    assert estimate.value == pytest.approx(np.mean(38 - onset[~np.isnan(onset)]))
    assert not estimate.higher_is_better
    assert 0 < estimate.low < estimate.value < estimate.high


def test_a_timeline_makes_the_round_trip_through_a_table(tmp_path):
    row = watched(3)
    row.to_frame().to_parquet(tmp_path / "p.parquet")
    again = Predictions.read(tmp_path / "p.parquet")
    assert differences(row, again) == []
    assert differences(row, Predictions.from_frame(pd.read_parquet(tmp_path / "p.parquet"))) == []
    assert differences(replace(row, timeline=None), again) == ["timeline (only one has it)"]
    moved = replace(again.timeline, day=again.timeline.day + 1)
    assert differences(row, replace(again, timeline=moved)) == ["day"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"day": [1.0, np.nan]}, "without a day"),
        ({"onset": [1.0, 2.0]}, "'a' has more than one onset"),
        ({"scored": [True]}, "series, day, scored and onset of every step"),
    ],
)
def test_a_timeline_that_makes_no_sense_is_refused(change, words):
    fields = {"series": ["a", "a"], "day": [1, 2], "scored": [True, True], "onset": [1, 1]}
    with pytest.raises(MetricError, match=words):
        Timeline(**fields | change)


def test_a_timeline_is_as_long_as_its_predictions():
    row = watched(4)
    with pytest.raises(MetricError, match="timeline of 5"):
        replace(row, timeline=row.timeline.take(np.arange(5)))


@pytest.mark.parametrize("metric", ["onset_mae_days", "f1", "log_loss"])
def test_folds_of_series_summed_in_one_go_are_those_looked_at_one_by_one(metric):
    row = watched(1, groups=6)
    row = replace(row, fold=row.group_codes % 4)  # of one and of two accessions
    evidence, kernel = Evidence.of(row), resolve(metric, row.classes).kernel
    one, other = (
        [(fold.number, fold.value, fold.groups.tolist()) for fold in cut(kernel, evidence)]
        for cut in (fold_mean._one_by_one, fold_mean._folds)
    )
    assert one == other


def test_days_count_the_groups_whose_series_have_an_onset():
    row = watched(1)
    some = np.isin(row.group, ["A0", "A1"])
    onset = np.where(some, row.timeline.onset, np.nan)
    fewer = replace(row, timeline=replace(row.timeline, onset=onset))
    metric = resolve("onset_mae_days", row.classes)
    assert effective_groups(row, metric) == 5
    assert effective_groups(fewer, metric) == 2
