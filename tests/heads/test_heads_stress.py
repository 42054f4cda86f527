"""How units of the stress head train: schedule, loss, early stopping, company, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backbench.errors import HeadError
from backbench.heads import Problem, Unit, predict, settings_of, train
from backbench.heads.settings import StressSettings
from backbench.heads.stress_data import Scaling
from backbench.heads.stress_unit import Dropout, learning_rate
from backbench.samples.series import ABSENT, Channel

from .stress_case import QUICK, STEPS, make_plants, units

FP32 = QUICK | {"precision": "fp32"}


@pytest.fixture(autouse=True)
def one_core():
    """Units in turn, in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(a, b):
    assert a.chosen == b.chosen
    assert a.history == b.history
    for first, second in ((a.logits, b.logits), (a.val_logits, b.val_logits)):
        np.testing.assert_array_equal(first, second)
    assert set(a.weights) == set(b.weights)
    for name in a.weights:
        np.testing.assert_array_equal(a.weights[name], b.weights[name])


def test_the_learning_rate_is_that_of_torchs_schedulers():
    settings = StressSettings()
    adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    warm = torch.optim.lr_scheduler.LinearLR(adamw, 0.01, total_iters=5)
    rest = torch.optim.lr_scheduler.CosineAnnealingLR(adamw, 95, 1e-6)
    schedule = torch.optim.lr_scheduler.SequentialLR(adamw, [warm, rest], [5])
    for epoch in range(100):
        assert learning_rate(settings, epoch) == pytest.approx(adamw.param_groups[0]["lr"], 1e-6)
        adamw.step()
        schedule.step()


def test_every_step_of_every_test_plant_gets_two_logits():
    problem, folds = make_plants()
    (result,) = train(QUICK, problem, [Unit(folds[0], 0)])
    assert result.logits.shape == (len(folds[0].test) * STEPS, 2)
    assert result.val_logits.shape == (len(folds[0].val) * STEPS, 2)
    assert result.logits.dtype == np.float32
    assert not result.logits[:, 0].any()
    assert result.logits[:, 1].std() > 0


def test_it_learns():
    problem, folds = make_plants()
    right = []
    for result in train(QUICK | {"epochs": 8}, problem, units(folds[:3])):
        test = result.unit.fold.test
        scored = problem.series.scored[test].ravel()
        hits = result.logits.argmax(1) == problem.series.y[test].ravel()
        right.append(hits[scored].mean())
    assert np.mean(right) > 0.8


def test_the_validation_loss_is_weighted_by_scored_steps_and_its_least_epoch_is_kept():
    problem, folds = make_plants()
    (result,) = train(FP32 | {"epochs": 6}, problem, [Unit(folds[1], 0)])
    rows = folds[1].val
    z = torch.from_numpy(result.val_logits[:, 1][problem.series.scored[rows].ravel()])
    y = torch.from_numpy(problem.series.y[rows][problem.series.scored[rows]]).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        z, y, pos_weight=torch.tensor(1.5)
    ).item()
    losses = result.history["val_loss"]
    assert result.chosen["val_loss"] == min(losses) == losses[int(result.chosen["epoch"]) - 1]
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_a_unit_stops_when_patience_is_at_an_end():
    problem, folds = make_plants()
    table = QUICK | {"epochs": 60, "patience": 2, "lr": 0.05}
    (result,) = train(table, problem, [Unit(folds[1], 0)])
    assert len(result.history["val_loss"]) == result.chosen["epoch"] + 2 < 60


def test_without_patience_the_last_epoch_is_kept_and_validation_is_not_needed():
    problem, folds = make_plants()
    bare = replace(folds[0], val=folds[0].val[:0])
    (result,) = train(QUICK | {"patience": 0}, problem, [Unit(bare, 0)])
    assert result.chosen["epoch"] == QUICK["epochs"]
    assert result.val_logits.shape == (0, 2)
    assert set(result.history) == {"train_loss"}
    assert set(result.chosen) == {"epoch"}


def test_a_unit_alone_is_bit_for_bit_what_it_is_among_others():
    problem, folds = make_plants()
    together = train(QUICK, problem, units(folds[:3], 1, 2))
    for number in (0, 4):
        (alone,) = train(QUICK, problem, [together[number].unit])
        same(alone, together[number])


def test_seeds_are_the_randomness_and_folds_share_it():
    problem, folds = make_plants()
    first, other = train(QUICK, problem, units(folds[:1], 1, 2))
    assert np.abs(first.logits - other.logits).max() > 1e-4


def test_only_training_plants_are_looked_at_in_training():
    problem, folds = make_plants()
    fold, series = folds[2], problem.series
    table = FP32 | {"patience": 0}
    held_out = np.concatenate([fold.val, fold.test])
    rng = np.random.default_rng(7)
    X, y, channels = problem.X.copy(), series.y.copy(), {}
    X[series.picture[held_out][series.picture[held_out] >= 0]] = 1e3
    y[held_out] = rng.integers(0, 2, y[held_out].shape)
    for name, channel in series.channels.items():
        values = channel.values.copy()
        values[held_out] = 1e4 * rng.normal(size=values[held_out].shape)
        channels[name] = Channel(values, channel.observed)
    wild = Problem(X, problem.y, 2, 8, replace(series, y=y, channels=channels))
    honest, other = (train(table, p, [Unit(fold, 0)])[0].weights for p in (problem, wild))
    for name in honest:
        np.testing.assert_array_equal(honest[name], other[name])


def test_scaling_and_imputation_are_of_what_was_observed_in_the_training_plants():
    problem, folds = make_plants()
    channel, train_rows = problem.series.channels["fluor"], folds[0].train
    (result,) = train(QUICK, problem, [Unit(folds[0], 0)])
    seen = channel.values[train_rows][channel.observed[train_rows]].astype(np.float64)
    np.testing.assert_allclose(result.weights["fluor.mean"], np.nanmean(seen, 0))
    deviation = np.nanstd(seen, 0)
    np.testing.assert_allclose(result.weights["fluor.scale"][1:], 1 / deviation[1:])
    assert result.weights["fluor.scale"][0] == 0  # constant
    scaled = Scaling.fit(channel, train_rows).apply(channel)
    assert not scaled[~channel.observed].any()
    assert not scaled[np.isnan(channel.values)].any()


def test_values_that_training_never_saw_are_left_out():
    values = np.full((3, 2, 2), np.nan, np.float32)
    values[:, :, 0] = [[1, 2], [3, 4], [5, 6]]
    values[2, :, 1] = 9
    channel = Channel(values, np.ones((3, 2), bool))
    scaled = Scaling.fit(channel, np.array([0, 1])).apply(channel)
    assert np.isfinite(scaled).all()
    assert not scaled[..., 1].any()


def test_predict_gives_the_test_logits_again_from_the_weights():
    problem, folds = make_plants()
    table = QUICK | {"modalities": ["vi", "image"], "fusion": "concat", "causal_mask": True}
    for result in train(table, problem, units(folds[:2])):
        series = problem.series.subset(result.unit.fold.test)
        again = predict("stress", result.weights, problem.X, series)
        np.testing.assert_array_equal(again, result.logits)


def test_bf16_comes_out_near_fp32():
    problem, folds = make_plants()
    half, full = (
        train(QUICK | {"precision": p, "lr": 1e-3}, problem, [Unit(folds[0], 0)])[0]
        for p in ("bf16", "fp32")
    )
    assert 0 < np.abs(half.logits - full.logits).max() < 0.1


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    x = torch.ones(1000, 100)
    kept = Dropout(0.1, 0)(x)
    assert (kept == 0).float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert kept.max().item() == pytest.approx(1 / 0.9, rel=1e-4)
    assert torch.equal(kept, Dropout(0.1, 0)(x))


def test_features_in_half_precision_on_disk_are_taken_too(tmp_path):
    problem, folds = make_plants()
    half = problem.X.astype(np.float16)
    np.save(tmp_path / "X.npy", half)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    same(
        *(
            train(QUICK, replace(problem, X=X), [Unit(folds[0], 0)])[0]
            for X in (half.astype(np.float32), mapped)
        )
    )


def test_progress_ends_where_it_says():
    problem, folds = make_plants()
    seen = []
    train(QUICK, problem, units(folds[:2]), progress=lambda *at: seen.append(at))
    assert seen[-1] == (8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": []}, r"head\.modalities"),
        ({"modalities": ["image", "image"]}, r"head\.modalities"),
        ({"width": 30}, r"head\.width"),
        ({"lr": 0.0}, r"head\.lr"),
        ({"warmup_epochs": 101}, r"head\.warmup_epochs"),
        ({"min_lr": 1.0}, r"head\.min_lr"),
        ({"dropout": 1.0}, r"head\.dropout"),
        ({"clip": 0.0}, r"head\.clip"),
        ({"pos_weight": -1.0}, r"head\.pos_weight"),
    ],
)
def test_a_setting_out_of_range_is_refused(changes, message):
    with pytest.raises(HeadError, match=message):
        settings_of({"kind": "stress"} | changes)


def test_a_modality_that_is_not_there_is_refused():
    problem, folds = make_plants()
    with pytest.raises(HeadError, match="Did you mean 'fluor'"):
        train(QUICK | {"modalities": ["flour"]}, problem, units(folds))


def test_heads_and_samples_of_different_kinds_are_refused():
    problem, folds = make_plants()
    with pytest.raises(HeadError, match="linear head takes rows, but the samples are series"):
        train({"kind": "linear"}, problem, units(folds))
    with pytest.raises(HeadError, match="stress head takes series, but the samples are rows"):
        train(QUICK, replace(problem, series=None), units(folds))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"day": np.zeros(3)}, r"days of the series have shape \(3,\)"),
        ({"scored": np.ones((4, 8), bool)}, "scored steps"),
        ({"scored": np.zeros((32, 8), bool)}, "trains on 0 class"),
        ({"y": np.zeros((32, 8), np.int64)}, "trains on 1 class"),
        ({"y": np.full((32, 8), 2)}, "labels go from 2 to 2"),
        ({"picture": np.full((32, 8, 3), 9999)}, "pictures 9999 to 9999"),
    ],
)
def test_series_that_do_not_fit_are_refused(changes, message):
    problem, folds = make_plants()
    spoilt = replace(problem, series=replace(problem.series, **changes))
    with pytest.raises(HeadError, match=message):
        train(QUICK, spoilt, units(folds))


def test_a_picture_that_is_not_finite_is_refused_with_its_row():
    problem, folds = make_plants()
    problem.X[17, 2] = np.nan
    with pytest.raises(HeadError, match="row 17 of the features has NaN"):
        train(QUICK, problem, units(folds))


def test_a_loss_that_is_never_finite_is_refused():
    problem, folds = make_plants()
    scored = problem.series.scored.copy()
    scored[folds[0].val] = False
    dead = replace(problem, series=replace(problem.series, scored=scored))
    with pytest.raises(HeadError, match="never finite"):
        train(QUICK, dead, [Unit(folds[0], 0)])


def test_features_of_another_width_are_refused_by_predict():
    problem, folds = make_plants()
    (result,) = train(QUICK, problem, [Unit(folds[0], 0)])
    with pytest.raises(HeadError, match="trained on 12 columns"):
        predict("stress", result.weights, problem.X[:, :5], problem.series)


def test_steps_without_a_picture_know_nothing_of_any_picture():
    """Also where no token stands for one: the last picture of all may be a test plant's."""
    problem, folds = make_plants()
    fold, picture = folds[0], problem.series.picture
    other = problem.X.copy()
    tested = picture[fold.test]
    swapped = picture.copy()
    last, some = picture == picture.max(), tested[tested != ABSENT][0]
    swapped[picture == some], swapped[last] = picture.max(), some
    other[[some, picture.max()]] = other[[picture.max(), some]]
    other[picture.max()] += 50  # now a test plant's, and the last
    changed = replace(problem, X=other, series=replace(problem.series, picture=swapped))
    table = FP32 | {"sparse": ["fluor"]}
    (plain,), (again,) = (train(table, p, [Unit(fold, 0)]) for p in (problem, changed))
    np.testing.assert_array_equal(again.val_logits, plain.val_logits)


def test_the_task_says_which_modalities_are_sparse():
    problem, folds = make_plants()
    renamed = {{"fluor": "thermal"}.get(n, n): c for n, c in problem.series.channels.items()}
    other = replace(problem, series=replace(problem.series, channels=renamed))
    names = {"modalities": ["image", "thermal", "env", "vi"], "sparse": ["image", "thermal"]}
    (plain,) = train(FP32, problem, [Unit(folds[0], 0)])
    (said,) = train(FP32 | names, other, [Unit(folds[0], 0)])
    np.testing.assert_allclose(said.logits, plain.logits, rtol=1e-5)
    assert "token.thermal" in said.weights
    with pytest.raises(HeadError, match="unknown modality 'fluor'"):
        train(FP32 | names | {"sparse": ["fluor"]}, other, [Unit(folds[0], 0)])
    with pytest.raises(HeadError, match=r"'head\.sparse' is \[\], but has to name one or more"):
        settings_of({"kind": "stress", "sparse": []})
