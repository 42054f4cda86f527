from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from backbench.errors import MetricError
from backbench.metrics import Predictions
from backbench.metrics.pairing import differences, order_like


def same(a, b):
    return (
        a.seeds == b.seeds
        and a.classes == b.classes
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for name in ("sample_id", "group", "fold", "y_true", "probabilities")
        )
    )


def test_a_frame_round_trips(make):
    row = make(seeds=3)
    assert same(Predictions.from_frame(row.to_frame()), row)


def test_a_parquet_file_keeps_everything_class_names_included(make, tmp_path):
    row = make(seeds=3)
    row.to_frame().to_parquet(tmp_path / "p.parquet")
    assert same(Predictions.from_frame(pd.read_parquet(tmp_path / "p.parquet")), row)


def test_a_file_is_read_as_its_table_is(make, tmp_path):
    """Straight into arrays: rows in any order, names of any length, what travels beside them."""
    row = replace(make(seeds=3), test_to_train=0.25)
    row = replace(row, sample_id=np.char.add("é" * 20, row.sample_id))
    frame = row.to_frame()
    shuffled = frame.sample(frac=1, random_state=1)
    shuffled.attrs = frame.attrs
    shuffled.to_parquet(tmp_path / "p.parquet")
    read, again = Predictions.read(tmp_path / "p.parquet"), Predictions.from_frame(shuffled)
    assert same(read, again)
    assert read.test_to_train == 0.25
    assert same(read.take(order_like(row, read)), row)


def test_files_read_together_are_what_each_is_alone(make, tmp_path):
    """Of the same samples, of others, of fewer classes or seeds, in another order."""
    row = make(seeds=3)
    rows = [
        row,
        replace(row, probabilities=np.roll(row.probabilities, 1, axis=1)),
        make(seeds=3, seed=1),
        make(seeds=3, classes=2),
        make(seeds=1),
        row.take(np.arange(len(row))[::-1]),
        replace(row, test_to_train=0.25),
        replace(row, group=np.char.add(row.group, "x")),
        row,
    ]
    paths = [tmp_path / f"{place}.parquet" for place in range(len(rows))]
    for path, one in zip(paths, rows, strict=True):
        one.to_frame().to_parquet(path)
    alone = [Predictions.read(path) for path in paths]
    together = Predictions.read_all(paths)
    for path, one, other in zip(paths, together, alone, strict=True):
        assert same(one, other), path
        assert one.test_to_train == other.test_to_train
        assert np.array_equal(one.y_pred, other.y_pred)
        assert np.array_equal(one.group_codes, other.group_codes)
    assert [one.fold is row.fold for one, row in pairwise(together)] == [True, True] + [False] * 6


def test_other_probabilities_are_those_of_new_predictions(make):
    row = make(seeds=2)
    before = row.probabilities.copy(), row.y_pred.copy(), row.scored
    others = np.roll(row.probabilities, 7, axis=1)
    found, expected = row.with_probabilities(others), replace(row, probabilities=others)
    assert same(found, expected)
    assert np.array_equal(found.y_pred, expected.y_pred)
    assert same(found.scored, expected.scored)
    assert np.array_equal(row.probabilities, before[0])
    assert np.array_equal(row.y_pred, before[1])
    with pytest.raises(MetricError, match="shape"):
        row.with_probabilities(others[:1])


def test_a_file_of_known_samples_is_checked_like_any_other(make, tmp_path):
    good = make().to_frame()
    bad = good.assign(p_0=good["p_0"] + 1)
    bad.attrs = good.attrs
    less = good.drop(columns="p_2")
    less.attrs = good.attrs
    good.to_parquet(tmp_path / "good")
    for name, frame, says in (("bad", bad, "rows are no probabilities"), ("less", less, "p_2")):
        frame.to_parquet(tmp_path / name)
        with pytest.raises(MetricError, match=says):
            Predictions.read_all([tmp_path / "good", tmp_path / name])


@pytest.mark.parametrize("content", [b"", b"PAR1 no more than that PAR1", b"a,b\n1,2\n"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "p.parquet").write_bytes(content)
    with pytest.raises(MetricError, match="is no Parquet file of predictions"):
        Predictions.read(tmp_path / "p.parquet")


def test_rows_of_a_frame_may_come_in_any_order(make):
    row = make(seeds=3)
    shuffled = row.to_frame().sample(frac=1, random_state=1)
    read = Predictions.from_frame(shuffled)
    assert same(read.take(order_like(row, read)), row)


def test_types_are_those_that_are_promised(make):
    row = make()
    assert row.probabilities.dtype == np.float32
    assert row.fold.dtype == row.y_true.dtype == row.y_pred.dtype == np.int64
    assert row.sample_id.dtype.kind == row.group.dtype.kind == "U"
    assert len(row) == 60
    assert row.folds == 4


def test_the_first_of_equal_probabilities_is_predicted(make):
    row = make(classes=3)
    even = replace(row, probabilities=np.full_like(row.probabilities, 1 / 3))
    assert not even.y_pred.any()


def broken(row, **changes):
    return lambda: replace(row, **changes)


def spoil(p, value):
    p = p.copy()
    p[1, 2, 0] = value
    return p


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (lambda r: {"probabilities": spoil(r.probabilities, np.nan)}, "sample 's002', seed 1"),
        (lambda r: {"probabilities": spoil(r.probabilities, np.inf)}, "sum to 1"),
        (lambda r: {"probabilities": spoil(r.probabilities, -0.5)}, "not negative"),
        (lambda r: {"probabilities": r.probabilities * 1.001}, "120 rows are no probabilities"),
        (lambda r: {"probabilities": r.probabilities[0]}, "seeds x samples x classes"),
        (lambda r: {"sample_id": np.full(60, "x")}, "'x' occurs 60 times"),
        (lambda r: {"y_true": r.y_true + 1}, "codes 0 to 2"),
        (lambda r: {"y_true": r.y_true - 1}, "codes 0 to 2"),
        (lambda r: {"y_true": r.y_true + 0.5}, "whole numbers"),
        (lambda r: {"y_true": r.classes}, "whole numbers"),
        (lambda r: {"group": r.group[:-1]}, "'group' has"),
        (lambda r: {"seeds": (7, 7)}, "seed is repeated"),
        (lambda r: {"classes": ("a", "b", "a")}, "class is repeated"),
    ],
)
def test_what_is_wrong_is_refused_at_the_door(make, changes, words):
    row = make()
    with pytest.raises(MetricError, match=words):
        replace(row, **changes(row))


def test_probabilities_may_miss_1_by_rounding(make):
    row = make()
    assert len(replace(row, probabilities=row.probabilities * 1.00005)) == 60


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f.drop(index=3), "sample 's003', seed 0: 0 times"),
        (lambda f: pd.concat([f, f.iloc[[5]]]), "sample 's005', seed 0: 2 times"),
        (lambda f: f.drop(columns="fold"), "need the columns"),
        (lambda f: f.drop(columns="p_1"), "need the columns"),
        (lambda f: f.assign(p_3=0.0), "need the columns"),
        (lambda f: f.assign(group=[*f["group"][:-1], "other"]), "'group' of 1 samples differs"),
        (lambda f: f.assign(fold=[*f["fold"][:-1], 77]), "'fold' of 1 samples differs"),
        (lambda f: f.assign(y_true=1 - f["seed"]), "'y_true' of 60 samples differs"),
    ],
)
def test_a_frame_that_is_not_complete_is_refused(make, spoil, words):
    frame = make().to_frame()
    spoiled = spoil(frame)
    spoiled.attrs = frame.attrs
    with pytest.raises(MetricError, match=words):
        Predictions.from_frame(spoiled)


def test_class_names_have_to_come_from_somewhere_and_agree(make):
    frame = make().to_frame()
    with pytest.raises(MetricError, match="hold the classes a, b, c, asked for were a, b, x"):
        Predictions.from_frame(frame, ["a", "b", "x"])
    frame.attrs = {}
    with pytest.raises(MetricError, match="pass classes"):
        Predictions.from_frame(frame)
    assert Predictions.from_frame(frame, ["x", "y", "z"]).classes == ("x", "y", "z")


def test_rows_in_another_order_do_not_differ(make):
    row = make()
    assert differences(row, row.take(np.random.default_rng(0).permutation(60))) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, group=np.roll(r.group, 1)), "group (60 samples, such as 's000')"),
        (lambda r: replace(r, fold=r.fold + 1), "fold (60 samples, such as 's000')"),
        (lambda r: replace(r, y_true=(r.y_true + 1) % 3), "y_true (60 samples, such as 's000')"),
        (lambda r: replace(r, classes=("x", "y", "z")), "classes (a, b, c and x, y, z)"),
        (
            lambda r: r.take(np.arange(59)),
            "sample ids (1 only in the first, 0 only in the second, such as 's059')",
        ),
    ],
)
def test_what_differs_is_named(make, change, words):
    assert differences(make(), change(make())) == [words]
