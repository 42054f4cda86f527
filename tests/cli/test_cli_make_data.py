"""make-data: what is asked for is what is there, and each mistake is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from backbench.cli import backbench
from backbench.errors import BackbenchError
from backbench.features import hdf5
from backbench.samples.made_plants import DAYS, WIDTHS, MadePlants, Wish


def make(*options: str) -> str:
    done = CliRunner().invoke(backbench, ["make-data", *options], catch_exceptions=False)
    return done.output


def test_the_truth_is_written_down_and_the_next_commands_are_said() -> None:
    said = make("faba", "--plants", "36", "--signals", "env=0,vi", "--backbones", "clip=0.9,mine")
    truth = json.loads(Path("faba-data/truth.json").read_text())
    assert truth["signals"] == {"image": 0.6, "fluor": 0.6, "env": 0.0, "vi": 0.6}
    assert truth["backbones"] == {"clip": 0.9, "mine": 0.6}
    rows = hdf5.read_nested(Path("faba-data/features/mine.h5"))
    assert len(rows) == truth["pictures"]
    assert rows[0][1].shape == (768,)
    assert "backbench features import faba-data/features/clip.h5 --layout nested" in said
    assert "--backbones clip,mine" in said
    assert "expect.samples=36;expect.groups=6;expect.pictures=" in said
    assert "samples=" not in said.replace("expect.samples=", "")


def test_another_folder_is_said_in_the_next_command() -> None:
    assert "--set 'samples=there;expect." in make("faba", "--plants", "36", "--out", "there")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("digits",), "unknown task to make data for 'digits'"),
        (("faba", "--plants", "40"), "40 plants make no whole accessions; give a multiple of 6"),
        (("faba", "--plants", "30"), "36 or more"),
        (("faba", "--signals", "light=1"), "unknown modality 'light'"),
        (("faba", "--signals", "env=much"), "'env=much' is no strength"),
        (("faba", "--backbones", "clip=2"), "from 0 to 1"),
        (("faba", "--out", "."), "is there already"),
    ],
)
def test_a_mistake_is_one_line(options: tuple[str, ...], words: str) -> None:
    with pytest.raises(BackbenchError, match=words) as error:
        make(*options)
    assert "\n" not in str(error.value)
    assert not Path("faba-data").exists()


@pytest.mark.parametrize(("option", "value"), [("--seed", "-1"), ("--signal", "nan")])
def test_a_number_out_of_its_range_is_told_with_its_option(option: str, value: str) -> None:
    done = CliRunner().invoke(backbench, ["make-data", "faba", option, value])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}': {value} is not in the range" in done.output


def found(made: MadePlants, X: np.ndarray) -> float:
    """How often the mean difference of one half of the accessions orders pairs of the other.

    Late in the season only, for the day alone tells a lot: everything grows.
    """
    late = np.array(DAYS)[made.views[:, 1]] > 32
    (plant, step, _), X = made.views[late].T, X[late]
    y, half = made.y[plant, step], made.accession[plant] % 2 == 0
    w = X[half & y].mean(axis=0) - X[half & ~y].mean(axis=0)
    score = X[~half] @ w
    return float((score[y[~half]][:, None] > score[~y[~half]]).mean())


def test_a_backbone_sees_as_much_as_it_was_given() -> None:
    made = MadePlants(Wish(264, dict.fromkeys(WIDTHS, 0.5), seed=3))
    blind, half, whole = (found(made, made.vectors("clip", s)) for s in (0.0, 0.5, 1.0))
    assert blind < 0.6 < half < whole - 0.05
    assert abs(found(made, made.vectors("dinov2", 0.5)) - half) < 0.05


def test_the_same_seed_makes_the_same_plants_whatever_else_is_made() -> None:
    wish = Wish(36, dict.fromkeys(WIDTHS, 0.5), seed=3)
    first, again = MadePlants(wish), MadePlants(wish)
    again.vectors("other", 0.1)
    assert np.array_equal(first.vectors("clip", 0.5), again.vectors("clip", 0.5))
    assert first.table_of("vi").equals(again.table_of("vi"))
    other = MadePlants(Wish(36, dict.fromkeys(WIDTHS, 0.5), seed=4))
    assert not first.table_of("vi").equals(other.table_of("vi"))


def test_the_full_set_has_the_counts_of_the_real_one() -> None:
    made = MadePlants(Wish(264, dict.fromkeys(WIDTHS, 0.6), seed=1))
    assert len(made.views) == 11_626
    assert made.imaged.sum() == 2_907
    assert abs((made.y & made.imaged).sum() - 517) < 40
