"""Layouts that people have go in and out unchanged, and bad ones are named."""

import h5py
import numpy as np
import pytest

from backbench.errors import FeatureError
from backbench.features import Maker, export, import_, imported, load, store, verify
from backbench.samples import FileSource, Samples
from features_bench import Bench, in_memory, table

MAKER = Maker("dinov2", "facebook/dinov2-base", licence="Apache-2.0")


def triple(folder, X=None, labels=None, ids=None):
    X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32) if X is None else X
    np.save(folder / "X.npy", X)
    np.save(folder / "X_labels.npy", np.array([0, 1, 0, 1]) if labels is None else labels)
    np.save(folder / "X_image_ids.npy", np.array(["a", "b", "c", "d"]) if ids is None else ids)
    return folder / "X.npy"


def nested(path, rows):
    with h5py.File(path, "w") as file:
        for name, row in rows.items():
            file[name] = np.asarray(row, np.float32)
    return path


def samples_of(ids: list[str]) -> Samples:
    return Samples("plants", table(ids), FileSource(ids))


def test_an_npy_triple_makes_the_round_trip_exactly(tmp_path):
    path = import_(triple(tmp_path), "npy", samples="plants", maker=MAKER)
    labels = {"a": 0, "b": 1, "c": 0, "d": 1}
    written = export(path, tmp_path / "out" / "X.npy", "npy", labels=labels)
    for each in written:
        before, after = np.load(tmp_path / each.name), np.load(each)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_a_nested_file_makes_the_round_trip_exactly(tmp_path):
    rows = {f"P{i}/{t}/side_{v}": [i, t, v / 7] for i in range(3) for t in (2, 10) for v in (0, 9)}
    path = import_(nested(tmp_path / "n.h5", rows), "nested", samples="plants", maker=MAKER)
    export(path, tmp_path / "out.h5", "nested")
    with h5py.File(tmp_path / "out.h5") as file:
        found: dict = {}
        file.visititems(lambda n, d: found.update({n: d}) if isinstance(d, h5py.Dataset) else None)
        assert set(found) == set(rows)
        for name, row in rows.items():
            assert found[name].dtype == np.float32
            assert np.array_equal(found[name][()], np.asarray(row, np.float32))


def test_an_import_says_who_made_the_vectors(tmp_path):
    path = import_(triple(tmp_path), "npy", samples="plants", maker=MAKER)
    known = verify(path).attributes
    assert known["identity"]["backbone"] == "dinov2"
    assert known["identity"]["weights"] == "unknown"
    assert known["identity"]["representation"]["library"] == "imported"
    assert (known["precision"], known["source"], known["min_side"]) == ("imported", "X.npy", 0)
    assert path.name.startswith("dinov2-")


def test_an_import_without_a_maker_is_refused():
    with pytest.raises(FeatureError, match="the backbone of imported features is empty"):
        Maker(" ", "default")


def test_imported_features_are_opened_by_id_in_the_order_asked(tmp_path):
    path = import_(triple(tmp_path), "npy", samples="plants", maker=MAKER)
    X = np.load(tmp_path / "X.npy")
    found = load(path, samples_of(["d", "a", "b"]))
    assert np.array_equal(found.X, X[[3, 0, 1]])
    assert (found.reused, len(found.errors)) == (3, 0)


def test_samples_that_an_imported_file_lacks_are_named(tmp_path):
    path = import_(triple(tmp_path), "npy", samples="plants", maker=MAKER)
    with pytest.raises(FeatureError, match=r"lacks 2 of 3 samples of plants: x, y"):
        load(path, samples_of(["a", "x", "y"]))


def test_a_share_may_be_missing_and_is_listed(tmp_path):
    path = import_(triple(tmp_path), "npy", samples="plants", maker=MAKER)
    found = load(path, samples_of(["x", "d", "a"]), max_error_fraction=0.4)
    assert found.ids.tolist() == ["d", "a"]
    assert found.errors["sample_id"].tolist() == ["x"]
    assert np.array_equal(found.X, np.load(tmp_path / "X.npy")[[3, 0]])


def test_the_last_import_of_a_backbone_is_found(tmp_path):
    samples = samples_of(["a", "b", "c", "d"])
    assert imported(samples, "dinov2", "facebook/dinov2-base") is None
    first, second = (np.full((4, 3), value, np.float32) for value in (1, 2))
    for X in (first, second):
        import_(triple(tmp_path, X), "npy", samples="plants", maker=MAKER)
    import_(triple(tmp_path, first), "npy", samples="plants", maker=Maker("clip", "default"))
    assert imported(samples, "dinov2", "facebook/dinov2-base").X[0, 0] == 2
    assert imported(samples, "dinov2", "default") is None
    assert imported(samples, "clip", "default").X[0, 0] == 1


def test_other_vectors_are_never_taken_for_these(tmp_path):
    """Of two backbones of equal width nothing else is known, yet their units must not be mixed."""
    X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    samples, keys = samples_of(["a", "b", "c", "d"]), set()
    for name, values in (("clip", X), ("bioclip", -X), ("copy", X)):
        path = import_(
            triple(tmp_path, values), "npy", samples="plants", maker=Maker(name, "default")
        )
        keys.add(load(path, samples).key)
    assert len(keys) == 2


def test_vectors_under_a_second_name_are_refused_with_the_first(tmp_path):
    import_(triple(tmp_path), "npy", samples="plants", maker=Maker("mine", "default"))
    second = Maker("mine", "v3")
    with pytest.raises(FeatureError, match=r"here already as 'mine'; .* as 'mine=v3'"):
        import_(triple(tmp_path), "npy", samples="plants", maker=second)
    other = np.ones((4, 3), np.float32)
    import_(triple(tmp_path, other), "npy", samples="plants", maker=second)
    samples = samples_of(["a", "b", "c", "d"])
    assert imported(samples, "mine", "default").X[0, 0] != 1
    assert imported(samples, "mine", "v3").X[0, 0] == 1


def test_extract_never_takes_imported_rows_for_its_own(bench, tmp_path):
    samples = in_memory(4)
    known = bench.identity
    maker = Maker(known.backbone, "x", known.weights, known.representation, known.transform)
    X = np.zeros((4, 12), np.float32)
    path = import_(triple(tmp_path, X, ids=samples.ids), "npy", samples="memory", maker=maker)
    found = bench.extract(samples)
    assert (found.path != path, found.identity_key) == (True, known.key)
    assert found.computed == 4
    assert np.abs(found.X).max() > 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"labels": np.zeros(3)}, "different lengths: X.npy 4, X_labels.npy 3, X_image_ids.npy 4"),
        ({"ids": np.array(["a", "b", "b", "a"])}, "X_image_ids.npy has 2 ids more than once: a, b"),
        ({"X": np.array([[1.0], [np.nan], [0], [0]])}, "X.npy has NaN or infinite .* 1 rows: b"),
        ({"X": np.full((4, 1), 1e300)}, "X.npy has NaN or infinite .* as float32 in 4 rows: a"),
        ({"X": np.zeros(4)}, r"a float matrix \[N, D\] is needed"),
        ({"ids": np.array(["a", 1, "c", "d"], object)}, "X_image_ids.npy is not a plain .npy"),
    ],
)
def test_a_bad_triple_is_one_line_that_says_which_file(tmp_path, change, line):
    with pytest.raises(FeatureError, match=line) as caught:
        import_(triple(tmp_path, **change), "npy", samples="plants", maker=MAKER)
    assert "\n" not in str(caught.value)


def test_a_missing_third_file_is_named(tmp_path):
    path = triple(tmp_path)
    (tmp_path / "X_image_ids.npy").unlink()
    with pytest.raises(FeatureError, match=r"X_image_ids.npy is not there"):
        import_(path, "npy", samples="plants", maker=MAKER)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ({}, "holds no vectors"),
        ({"a/1/x": [1, 2], "a/1/y": [1, 2, 3]}, r"of the shapes \(2,\), \(3,\)"),
        ({"a/1/x": [np.inf, 2]}, "NaN or infinite values as float32 in 1 rows: a/1/x"),
        ({"a/1/x": ["one", "two"]}, r"n.h5 is object of shape \(1, 2\); a float matrix"),
        ({"a/1/x": [1.0, 2.0], "a/1/y": ["one", "two"]}, r"n.h5 is object of shape"),
    ],
)
def test_a_bad_nested_file_is_one_line(tmp_path, rows, line):
    path = tmp_path / "n.h5"
    with h5py.File(path, "w") as file:
        for name, row in rows.items():
            file[name] = row
    with pytest.raises(FeatureError, match=line) as caught:
        import_(path, "nested", samples="plants", maker=MAKER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_an_export_of_an_import_has_the_values_as_float32(tmp_path, dtype):
    X = np.random.default_rng(0).normal(size=(4, 3)).astype(dtype)
    path = import_(triple(tmp_path, X), "npy", samples="plants", maker=MAKER)
    export(path, tmp_path / "out" / "X.npy", "npy")
    found = np.load(tmp_path / "out" / "X.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, X.astype(np.float32))


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (["a", "a/b", "c", "d"], "1 ids cannot be paths .*: a;"),
        (["a/b/c", "a/b", "a", "d"], "2 ids cannot be paths .*: a/b, a;"),
        (["s3://x/a", "/b", "./c", "d/"], "4 ids cannot be paths"),
    ],
)
def test_ids_that_a_nested_file_cannot_hold_are_refused(tmp_path, ids, named):
    path = import_(triple(tmp_path, ids=np.array(ids)), "npy", samples="plants", maker=MAKER)
    with pytest.raises(FeatureError, match=named) as caught:
        export(path, tmp_path / "out.h5", "nested")
    assert "\n" not in str(caught.value)
    assert "--layout npy" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_an_import_of_other_samples_than_the_tasks_is_refused(tmp_path):
    with pytest.raises(FeatureError, match=r"X_image_ids\.npy names no sample of plants: a, b"):
        import_(triple(tmp_path), "npy", samples="plants", maker=MAKER, labels={"x": "0", "y": "1"})


def test_labels_that_contradict_the_tasks_are_refused(tmp_path):
    """Labels in other words, or in none, are no contradiction: runs take the task's anyway."""
    given = triple(tmp_path, labels=np.array(["ill", "well", "ill", "well"]))
    task = {"a": "well", "b": "well", "c": "ill", "d": "well", "e": "ill"}
    with pytest.raises(FeatureError, match=r"1 samples .*: a \('ill', in the task 'well'\)"):
        import_(given, "npy", samples="plants", maker=MAKER, labels=task)
    for labels in ([0, 1, 0, 1], ["", "", "", ""], ["ill", "well", "dead", "well"]):
        path = triple(tmp_path, labels=np.array(labels))
        assert import_(path, "npy", samples="plants", maker=MAKER, labels=task).is_file()


def test_an_unknown_layout_names_the_known_ones(tmp_path):
    with pytest.raises(FeatureError, match="Did you mean 'npy'"):
        export(tmp_path / "a.h5", tmp_path / "b", "npz")


def test_a_sample_without_a_label_is_named(bench, tmp_path):
    path = bench.extract(in_memory(3)).path
    with pytest.raises(FeatureError, match="1 sample of the file without label: s002"):
        export(path, tmp_path / "X.npy", "npy", labels={"s000": 1, "s001": 2})


def test_verify_counts_rows_and_finds_nothing_in_a_good_file(bench):
    report = verify(bench.extract(in_memory(7)).path)
    assert (report.ok, report.rows, report.dim, report.shards) == (True, 7, 12, 0)


def test_verify_finds_values_ids_and_keys_that_are_wrong(bench):
    path = bench.extract(in_memory(7)).path
    with h5py.File(path, "a") as file:
        file["features"][2, 3] = np.nan
        file["sample_id"][5] = b"s004"
    problems = " | ".join(verify(path).problems)
    assert "1 samples have NaN or infinite features: s002" in problems
    assert "1 ids occur twice: s004" in problems
    assert "its key says" in problems


def test_verify_of_nothing_is_one_line(tmp_path):
    with pytest.raises(FeatureError, match="is not there"):
        verify(tmp_path / "none.h5")


def test_export_includes_shards_that_wait(bench, tmp_path):
    """A file somebody else is still working on is exported with all finished rows."""
    found = bench.extract(in_memory(3))
    header, sessions = store.read_header(found.path)
    file = Bench().extract(in_memory(3))
    assert file.computed == 0
    from backbench.features.shards import ShardedFile

    more = table(["late"])[["sample_id"]].assign(content_sha256="ff", size=-1, mtime_ns=-1)
    sharded = ShardedFile(found.path, found.identity_key)
    sharded.add(header, sessions[0], more, np.ones((1, 12), np.float32))
    export(found.path, tmp_path / "X.npy", "npy")
    assert np.load(tmp_path / "X_image_ids.npy").tolist() == ["s000", "s001", "s002", "late"]
