"""Plants over rounds: heads are given what is in the tables, and each mistake is one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from backbench.errors import SampleError
from backbench.samples import ABSENT, Samples, load_samples
from backbench.samples.plants import read_plants
from backbench.tasks import Expectation, FoldSettings, Task
from small_plants import small_plants

VALUES = ["plant_id,round,a,b", "p1,2,1,2", "p1,3,,4", "p2,2,5,6", "p3,3,,"]
TABLES = {
    "plants": [
        "plant_id,accession,watering,maturity,onset",
        "p1,A,WHC-30,Early,10",
        "p2,A,WHC-80,Early,10",
        "p3,B,WHC-30,Late,",
    ],
    "rounds": ["round,dag", "10,9.5", "2,4", "3,10"],
    "fluorescence": VALUES,
    "environment": VALUES,
    "vegetation": VALUES,
    "pictures": [
        "plant_id,round,view",
        "p1,2,top",
        "p1,10,side",
        "p1,10,top",
        "p2,3,top",
        "p3,3,top",
    ],
}


def write(folder: Path, **changed: list[str] | None) -> Path:
    for name, lines in (TABLES | changed).items():
        if lines is not None:
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def read(folder: Path) -> Samples:
    return read_plants(folder, name="faba", group="accession")


def test_a_plant_is_stressed_from_its_onset_on_if_it_is_dry(tmp_path: Path) -> None:
    series = read(write(tmp_path)).series
    assert series.steps == ("2", "10", "3")
    assert series.day.tolist() == [4, 9.5, 10]
    assert series.y.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_equal(series.onset, [10, np.nan, np.nan])


def test_a_step_is_scored_where_a_picture_or_fluorescence_is(tmp_path: Path) -> None:
    series = read(write(tmp_path)).series
    assert series.scored.tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 1]]
    assert series.channels["fluor"].observed.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_equal(vars(series.channels["vi"])["values"][0, 2], [np.nan, 4])


def test_pictures_are_found_by_plant_step_and_view(tmp_path: Path) -> None:
    samples = read(write(tmp_path))
    series = samples.series
    assert series.views == ("side", "top")
    shown = {samples.pictures.ids[i]: i for i in series.picture[series.picture != ABSENT]}
    assert list(shown) == ["p1/2/top", "p1/10/side", "p1/10/top", "p2/3/top", "p3/3/top"]
    assert series.picture[0, 0].tolist() == [ABSENT, 0]
    assert samples.pictures.frame["maturity"].tolist() == ["Early"] * 4 + ["Late"]
    assert not samples.pictures.has_files


def test_a_plant_without_an_accession_is_refused(tmp_path: Path) -> None:
    """Else all such plants would be one group of the name ''."""
    plants = [line.replace("p2,A", "p2,") for line in TABLES["plants"]]
    with pytest.raises(SampleError, match="1 sample without accession, first 'p2'; fill"):
        read(write(tmp_path, plants=plants))


def test_a_folder_of_pictures_needs_no_table(tmp_path: Path) -> None:
    write(tmp_path, pictures=None)
    for name in ("p1/2/top", "p2/3/top"):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4), (9, 9, 9)).save(path)
    samples = read(tmp_path)
    assert samples.pictures.ids.tolist() == ["p1/2/top", "p2/3/top"]
    assert samples.pictures.source.open(1).size == (4, 4)


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    plain = read(write(tmp_path)).series
    for path in tmp_path.glob("*.csv"):
        pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))
        path.unlink()
    again = read(tmp_path).series
    assert again.steps == plain.steps
    np.testing.assert_equal(again.channels["env"].values, plain.channels["env"].values)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rounds": None}, ["no 'rounds.csv'", "fluorescence"]),
        ({"pictures": None}, ["pictures.csv", "pictures/<plant_id>"]),
        ({"plants": ["plant_id,accession,onset", "p1,A,3"]}, ["'watering'", "plants.csv"]),
        ({"plants": ["plant_id,watering,onset", "p1,WHC-30,3"]}, ["'accession'"]),
        (
            {"plants": ["plant_id,accession,watering,onset", "p1,A,dry,3"]},
            ["WHC-30", "dry", "nothing to find"],
        ),
        (
            {"plants": ["plant_id,accession,watering,onset", "p1,A,WHC-30,soon"]},
            ["row 1", "'onset' is 'soon'", "finite number"],
        ),
        ({"rounds": ["round,day", "2,4"]}, ["rounds.csv", "'dag'"]),
        ({"rounds": ["round,dag", "2,4", "2,5"]}, ["'2' more than once"]),
        ({"vegetation": ["plant_id,round,a", "p9,2,1"]}, ["plant_id 'p9'", "vegetation.csv"]),
        ({"vegetation": ["plant_id,round,a", "p1,7,1"]}, ["round '7'"]),
        ({"vegetation": ["plant_id,round,a", "p1,2,1", "p1,2,1"]}, ["'p1/2' more than once"]),
        ({"vegetation": ["plant_id,round,a", "p1,2,inf"]}, ["row 1", "inf"]),
        ({"vegetation": ["plant_id,round", "p1,2"]}, ["no values"]),
        ({"pictures": ["plant_id,round,view", "p1,4,top"]}, ["round '4'"]),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, changed: dict, words: list[str]) -> None:
    with pytest.raises(SampleError) as error:
        read(write(tmp_path, **changed))
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def faba(folder: Path, **expect: object) -> Task:
    folds = FoldSettings(scheme="leave_one_group_out", group="accession")
    return Task("mine", 1, str(folder), folds=folds, expect=Expectation(**expect))


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"steps": 22}, "found 3 steps, the task expects 22"),
        ({"pictures": 4}, "found 5 pictures"),
        ({"channels": {"fluor": 94}}, "found 2 values a step of 'fluor', the task expects 94"),
        ({"channels": {"light": 3}}, "found 0 values a step of 'light'"),
        ({"groups": 3}, "found 2 groups"),
        ({"classes": 3}, "found 2 classes"),
    ],
)
def test_counts_are_those_of_the_task(tmp_path: Path, expect: dict, words: str) -> None:
    with pytest.raises(SampleError, match=words):
        load_samples(faba(write(tmp_path), **expect))


def test_labels_move_between_plants_as_a_whole(tmp_path: Path) -> None:
    samples = load_samples(faba(small_plants(tmp_path)))
    mixed = samples.permuted(3)
    order = [samples.ids.tolist().index(i) for i in mixed.ids]
    assert order == list(range(len(samples)))
    assert (mixed.series.y != samples.series.y).any()
    rows = {row.tobytes() for row in samples.series.y}
    assert {row.tobytes() for row in mixed.series.y} == rows
    dry = mixed.frame["label"].to_numpy() == "WHC-30"
    assert not mixed.series.y[~dry].any()
    assert np.array_equal(mixed.series.picture, samples.series.picture)


def test_a_fingerprint_is_that_of_every_part_and_of_no_order(tmp_path: Path) -> None:
    samples = read(write(tmp_path))
    contents = dict.fromkeys(samples.pictures.ids.tolist(), "aa")
    known = samples.fingerprint(contents)
    turned = samples.subset(np.array([2, 0, 1]))
    assert turned.fingerprint(contents) == known
    assert samples.fingerprint(contents | {"p1/2/top": "bb"}) != known
    assert samples.fingerprint({k: v for k, v in contents.items() if k != "p1/2/top"}) != known
    for table, old, new in (
        ("plants", "Early,10", "Early,9"),
        ("rounds", "2,4", "2,5"),
        ("environment", "p1,3,,4", "p1,3,,"),
        ("fluorescence", "p2,2,5,6", "p2,10,5,6"),
    ):
        lines = [line.replace(old, new) for line in TABLES[table]]
        (tmp_path / table).mkdir()
        assert read(write(tmp_path / table, **{table: lines})).fingerprint(contents) != known


def test_pictures_without_features_are_absent_and_the_others_numbered_anew(tmp_path: Path) -> None:
    series = read(write(tmp_path)).series
    left = series.with_pictures(np.array([0, 2, 3, 4]))
    assert left.pictures.ids.tolist() == ["p1/2/top", "p1/10/top", "p2/3/top", "p3/3/top"]
    assert left.picture[0, 1].tolist() == [ABSENT, 1]
    assert left.pictures_of(np.array([2, 0])).tolist() == [0, 1, 3]
    assert series.with_pictures(np.arange(5)) is series


def test_made_plants_have_the_shape_of_the_real_ones(tmp_path: Path) -> None:
    samples = load_samples(faba(small_plants(tmp_path), samples=48, groups=8, steps=22))
    series = samples.series
    seen = (series.picture != ABSENT).any(axis=2)
    views = (series.picture != ABSENT).sum(axis=2)
    assert set(views[seen].tolist()) == {2, 4}
    assert (views[seen] == 2).sum() == 1
    assert seen.sum(axis=1).min() == 11
    assert (series.channels["fluor"].observed.sum(axis=1) == 5).all()
    assert [series.channels[name].width for name in ("fluor", "env", "vi")] == [94, 5, 11]
    assert series.day.tolist()[:2] == [4, 6]
    assert series.day.tolist()[-2:] == [38, 38]
    measured = series.channels["env"]
    assert 0.02 < np.isnan(vars(measured)["values"][measured.observed]).mean() < 0.04
    assert 0.1 < series.y[seen].mean() < 0.25
