"""Samples are checked at the door, and each mistake is one line."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from backbench.errors import SampleError, TaskError
from backbench.files import bucket
from backbench.samples import ArraySource, FileSource, NoFiles, Samples, decode, load_samples
from backbench.samples.load import set_name
from backbench.tasks import Expectation, FoldSettings, Task


def task(samples: str, **settings: object) -> Task:
    return Task(name="mine", version=1, samples=samples, **settings)


def picture(path: Path, colour: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 90, 200)).save(path)
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., str]:
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)

    def write(suffix: str = ".csv", **columns: list[str] | None) -> str:
        table = {
            "sample_id": ["a", "b", "c", "d"],
            "path": [f"{i}.png" for i in range(4)],
            "label": ["x", "y", "x", "y"],
            "group": ["g", "g", "h", "h"],
            "split": ["train", "train", "test", "test"],
        } | columns
        frame = pd.DataFrame({k: v for k, v in table.items() if v is not None})
        path = tmp_path / f"m{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
        return str(path)

    return write


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_manifest_is_read_in_each_format(manifest: Callable[..., str], suffix: str) -> None:
    samples = load_samples(task(manifest(suffix)))
    assert samples.ids.tolist() == ["a", "b", "c", "d"]
    assert samples.classes == ("x", "y")
    assert samples.y.tolist() == [0, 1, 0, 1]
    assert samples.groups.tolist() == ["g", "g", "h", "h"]
    assert samples.source.open(3).getpixel((0, 0)) == (3, 90, 200)


def test_numbers_in_parquet_become_text_without_a_point(manifest: Callable[..., str]) -> None:
    samples = load_samples(task(manifest(".parquet", label=[1.0, 2.0, 1.0, 10.0])))
    assert samples.classes == ("1", "2", "10")


@pytest.mark.parametrize("labels", [["nan", "2", "1", "nan"], ["1", "nan", "nan", "2"]])
def test_the_order_of_classes_does_not_depend_on_that_of_rows(
    manifest: Callable[..., str], labels: list[str]
) -> None:
    """`nan` reads as a number, but is neither less nor more than another."""
    assert load_samples(task(manifest(label=labels))).classes == ("1", "2", "nan")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mine", "mine"),
        (".cache", "-cache-f45810ed"),
        ("...", "-..-ab5df625"),
        ("a b", "a-b-c8687a08"),
        ("日本", "---cf2abf0c"),
        ("韓国", "---306d5b1c"),
    ],
)
def test_features_stay_in_their_own_folder_whatever_the_task_is_called(
    manifest: Callable[..., str], name: str, folder: str
) -> None:
    named = Task(name=name, version=1, samples=manifest())
    assert load_samples(named).name == set_name(named) == folder


def test_the_group_column_is_the_one_the_task_names(manifest: Callable[..., str]) -> None:
    path = manifest(split=None, plant=["p", "q", "q", "p"])
    samples = load_samples(task(path, folds=FoldSettings(group="plant")))
    assert samples.groups.tolist() == ["p", "q", "q", "p"]


def test_without_groups_every_sample_is_its_own(manifest: Callable[..., str]) -> None:
    samples = load_samples(task(manifest(group=None)))
    assert samples.groups.tolist() == samples.ids.tolist()


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ({"scheme": "group_k_fold"}, ["'group'", "keeps together", "patient"]),
        ({"scheme": "leave_one_group_out"}, ["'group'", "'leave_one_group_out'", "patient"]),
        ({"group": "group"}, ["'group'", "folds.group names", "patient"]),
        ({"group": "pateint"}, ["'pateint'", "folds.group names", "patient"]),
    ],
)
def test_groups_that_the_task_counts_on_and_the_manifest_lacks_are_told(
    manifest: Callable[..., str], folds: dict[str, str], words: list[str]
) -> None:
    path = manifest(group=None, patient=["p", "p", "q", "q"])
    with pytest.raises(SampleError) as error:
        load_samples(task(path, folds=FoldSettings(**folds)))
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


def test_an_empty_cell_of_a_named_group_is_told_by_that_name(manifest: Callable[..., str]) -> None:
    path = manifest(group=None, patient=["p", "", "q", ""])
    with pytest.raises(SampleError, match=r"^2 samples without patient, first 'b'; fill that"):
        load_samples(task(path, folds=FoldSettings(group="patient")))


BY_SPLIT = [
    FoldSettings(scheme="given_split", validation="none"),
    FoldSettings(scheme="group_k_fold", validation="given"),
]


@pytest.mark.parametrize("folds", BY_SPLIT)
@pytest.mark.parametrize(
    ("split", "words"),
    [
        (["train", "test", "test", "test"], ["group 'g'", "test and train", "group_k_fold"]),
        (["train", "train", "holdout", "test"], ["'holdout'", "train, val, test"]),
    ],
)
def test_a_wrong_split_is_refused_where_folds_are_made_of_it(
    manifest: Callable[..., str], folds: FoldSettings, split: list[str], words: list[str]
) -> None:
    with pytest.raises(SampleError) as error:
        load_samples(task(manifest(split=split), folds=folds))
    assert all(word in str(error.value) for word in words), error.value


def test_a_split_that_no_fold_is_made_of_may_be_anything(manifest: Callable[..., str]) -> None:
    path = manifest(split=["train", "old", "", "test"])
    folds = FoldSettings(scheme="leave_one_group_out", validation="none")
    assert load_samples(task(path, folds=folds)).splits.tolist() == ["train", "old", "", "test"]


def test_a_split_of_a_manifest_may_be_called_as_a_folder_may(manifest: Callable[..., str]) -> None:
    path = manifest(split=["train", "train", "Valid", "validation"])
    samples = load_samples(task(path, folds=BY_SPLIT[1]))
    assert samples.splits.tolist() == ["train", "train", "val", "val"]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"filename": ["0.png"] * 4}, "no column 'path', only sample_id, label, group, split, fil"),
        ({"path": [""] * 4}, "the column 'path' is empty"),
    ],
)
def test_a_manifest_without_paths_says_why_there_are_no_pictures(
    manifest: Callable[..., str], columns: dict[str, list[str]], why: str
) -> None:
    samples = load_samples(task(manifest(**({"path": None} | columns))))
    assert isinstance(samples.source, NoFiles)
    assert why in samples.source.why


@pytest.mark.parametrize("folds", [{"scheme": "group_k_fold"}, {"group": "patient"}])
def test_a_folder_per_class_has_no_groups(tmp_path: Path, folds: dict[str, str]) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        picture(tmp_path / "data" / name)
    with pytest.raises(SampleError, match="write a manifest"):
        load_samples(task(str(tmp_path / "data"), folds=FoldSettings(**folds)))


def test_built_in_samples_are_their_own_groups_and_have_no_others() -> None:
    grouped = load_samples(task("digits", folds=FoldSettings(scheme="group_k_fold")))
    assert grouped.groups.tolist() == grouped.ids.tolist()
    with pytest.raises(SampleError, match="no column 'patient'"):
        load_samples(task("digits", folds=FoldSettings(group="patient")))


def test_what_a_system_hides_is_no_sample(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png", "cat/._1.png", "dog/.hidden.png", ".cache/x/3.png"):
        picture(tmp_path / "data" / name)
    samples = load_samples(task(str(tmp_path / "data")))
    assert samples.ids.tolist() == ["cat/1.png", "dog/2.png"]


def test_a_format_that_is_not_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "scans.xlsx").write_bytes(b"PK")
    with pytest.raises(SampleError, match=r"not read.*\.csv, \.tsv, \.txt or \.parquet"):
        load_samples(task(str(tmp_path / "scans.xlsx")))


@pytest.mark.parametrize("end", [",", ",,", ",x"])
def test_cells_beyond_the_named_columns_are_refused_instead_of_shifting_all(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"sample_id,label\na,x{end}\nb,y{end}\n")
    with pytest.raises(SampleError, match="more cells than its first line has names"):
        load_samples(task(str(path)))


def test_further_columns_are_kept(manifest: Callable[..., str]) -> None:
    samples = load_samples(task(manifest(site=["s1", "s1", "s2", "s2"])))
    assert samples.frame["site"].tolist() == ["s1", "s1", "s2", "s2"]


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.jpg", "dog/1.PNG"):
        picture(tmp_path / "data" / name)
    samples = load_samples(task(str(tmp_path / "data")))
    assert samples.ids.tolist() == ["cat/1.png", "cat/2.jpg", "dog/1.PNG"]
    assert samples.frame["label"].tolist() == ["cat", "cat", "dog"]


def test_a_class_may_be_a_link_to_a_folder_elsewhere(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "cat" / "1.png")
    picture(tmp_path / "archive" / "dogs" / "deep" / "2.png")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "archive" / "dogs")
    (tmp_path / "data" / "cat" / "back").symlink_to(tmp_path / "data")
    samples = load_samples(task(str(tmp_path / "data")))
    assert samples.ids.tolist() == ["cat/1.png", "dog/deep/2.png"]


def test_a_folder_of_splits_of_classes(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "valid/dog/2.png", "test/dog/3.png"):
        picture(tmp_path / "data" / name)
    samples = load_samples(task(str(tmp_path / "data")))
    assert sorted(samples.splits) == ["test", "train", "val"]
    assert samples.classes == ("cat", "dog")


def test_digits_are_the_1797_of_scikit_learn() -> None:
    samples = load_samples(task("digits", expect=Expectation(samples=1797, classes=10)))
    assert len(samples.source.read(0)) == 64
    assert samples.source.open(0).size == (8, 8)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": None}, ["no column 'label'", "sample_id, path"]),
        ({"sample_id": None}, ["no column 'sample_id'"]),
        ({"sample_id": ["a", "b", "b", "c"]}, ["'b'", "more than once"]),
        ({"sample_id": ["a", "", "b", "c"]}, ["row 2", "no sample_id"]),
        ({"label": ["x"] * 4}, ["'x'", "two classes"]),
        ({"label": ["x", "y", "", "y"]}, ["without label", "'c'"]),
        ({"group": ["g", "g", "", "h"]}, ["1 sample without group", "'c'", "fill that column"]),
        ({"path": ["0.png", "1.png", "2.png", "nowhere.png"]}, ["1 of 4", "nowhere.png"]),
    ],
)
def test_a_wrong_manifest_is_refused(
    manifest: Callable[..., str], columns: dict[str, list[str] | None], words: list[str]
) -> None:
    with pytest.raises(SampleError) as error:
        load_samples(task(manifest(**columns)))
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ("digit", ["'digit'", "Did you mean 'digits'"]),
        ("nowhere.csv", ["'nowhere.csv'", "/nowhere.csv does not exist", ".parquet"]),
    ],
)
def test_samples_that_are_not_there(samples: str, words: list[str]) -> None:
    with pytest.raises(SampleError) as error:
        load_samples(task(samples))
    assert all(word in str(error.value) for word in words), error.value


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="no pictures below"):
        load_samples(task(str(tmp_path)))


def test_a_missing_value_in_parquet_is_no_label(manifest: Callable[..., str]) -> None:
    with pytest.raises(SampleError, match="without label"):
        load_samples(task(manifest(".parquet", label=["x", None, "x", "y"])))


def test_counts_that_differ_from_the_task_are_refused() -> None:
    with pytest.raises(SampleError, match="found 1797 samples, the task expects 1800"):
        load_samples(task("digits", expect=Expectation(samples=1800)))


def test_some_files_may_be_missing_if_the_task_says_so(manifest: Callable[..., str]) -> None:
    path = manifest(path=["0.png", "1.png", "2.png", "nowhere.png"])
    assert len(load_samples(task(path, max_error_fraction=0.25))) == 4


def test_permuted_labels_are_the_same_labels_elsewhere() -> None:
    plain, shuffled = (load_samples(task("digits", permute_labels=p)) for p in (False, True))
    assert np.bincount(plain.y).tolist() == np.bincount(shuffled.y).tolist()
    assert (plain.y == shuffled.y).mean() < 0.2


def test_labels_can_be_permuted_in_many_ways() -> None:
    first, again, second = (load_samples(task("digits", permute_labels=p)) for p in (True, 1, 2))
    assert task("digits", permute_labels=1) == task("digits", permute_labels=True)
    assert repr(task("digits", permute_labels=0)) == repr(task("digits", permute_labels=False))
    assert (first.y == again.y).all()
    assert (first.y == second.y).mean() < 0.2
    with pytest.raises(TaskError, match=r"'permute_labels' is -1, but has to be false, true"):
        task("digits", permute_labels=-1)


def test_the_fingerprint_ignores_order_and_sees_content() -> None:
    samples = load_samples(task("digits"))
    contents = {i: hashlib.sha256(i.encode()).hexdigest() for i in samples.ids}
    turned = samples.subset(np.arange(len(samples))[::-1])
    assert samples.fingerprint(contents) == turned.fingerprint(contents)
    assert turned.source.read(0) == samples.source.read(len(samples) - 1)
    changed = contents | {samples.ids[5]: "other"}
    assert samples.fingerprint(contents) != samples.fingerprint(changed)


def test_sources_can_be_sent_to_worker_processes(tmp_path: Path) -> None:
    path = picture(tmp_path / "p.png")
    for source in (FileSource((str(path),)), ArraySource(np.zeros((1, 8, 8), np.uint8))):
        assert pickle.loads(pickle.dumps(source)).read(0) == source.read(0)


def test_a_large_jpeg_is_decoded_at_reduced_scale(tmp_path: Path) -> None:
    path = picture(tmp_path / "large.jpg", size=(2560, 3476))
    content = path.read_bytes()
    assert decode(content).size == (2560, 3476)
    reduced = decode(content, min_side=256)
    assert 256 <= min(reduced.size) < 1280


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_what_is_no_picture_is_an_error(content: bytes) -> None:
    with pytest.raises(SampleError, match="not a readable picture"):
        decode(content)


def test_a_truncated_jpeg_is_an_error(tmp_path: Path) -> None:
    content = picture(tmp_path / "p.jpg", size=(400, 300)).read_bytes()
    with pytest.raises(SampleError, match="not a readable picture"):
        decode(content[: len(content) // 2])


def test_a_table_of_nothing_is_refused() -> None:
    frame = pd.DataFrame(columns=["sample_id", "label", "group", "split", "path"])
    with pytest.raises(SampleError, match="no samples"):
        Samples("none", frame, FileSource(()))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("pictures/a.png", "s3://plants/set 1/pictures/a.png"),
        ("../b.png", "s3://plants/b.png"),
        ("s3://other/c.png", "s3://other/c.png"),
        ("/data/d.png", "/data/d.png"),
    ],
)
def test_paths_of_a_manifest_in_a_bucket_are_beside_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, found: str
) -> None:
    """And not beside its local copy, where nothing else is."""
    copy = tmp_path / "staged.csv"
    copy.write_text(f"sample_id,label,path\na,x,{given}\nb,y,s3://plants/b.png\n")
    monkeypatch.setattr(bucket, "fetch", {"s3://plants/set 1/samples.csv": copy}.get)
    samples = load_samples(task("s3://plants/set 1/samples.csv", max_error_fraction=0.5))
    assert samples.frame["path"].tolist() == [found, "s3://plants/b.png"]
