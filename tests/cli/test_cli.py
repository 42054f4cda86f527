"""The command line: one line and status 2 for a mistake, nothing half-written, a quick start."""

import subprocess
import sys
from pathlib import Path

import click
import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from backbench.backbones import identify
from backbench.cli import main
from backbench.cli.chain import leaderboard
from backbench.features import Maker, feature_path, import_
from backbench.heads import HEADS
from small_task import small_task


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refused command."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2, line
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("backbones", ["pixels,,clip", "pixels,", ","])
def test_nothing_between_two_commas_is_a_slip(
    capfd: pytest.CaptureFixture[str], backbones: str
) -> None:
    assert f"'{backbones}' has an empty word" in refused(capfd, "run", "--backbones", backbones)


@pytest.mark.parametrize("words", [["nosuch"], ["extract"], ["evaluate", "--seeed", "1"]])
def test_a_misspelt_command_or_option_is_one_line_that_says_where_help_is(
    capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    (line,) = capfd.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.endswith("--help.")


@pytest.mark.parametrize("command", ["run", "extract", "leaderboard", "submit"])
def test_a_home_that_is_no_folder_is_told_before_the_work_and_nothing_is_left(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    Path("afile").write_text("")
    monkeypatch.setenv("BACKBENCH_HOME", "afile")
    named = {"run": ["--backbones", "pixels"], "extract": ["--backbone", "pixels"]}
    words = ["digits", "--local", *named["run"]] if command == "submit" else named.get(command, [])
    line = refused(capfd, command, *words)
    assert f"cannot write {Path('afile').absolute()}: Not a directory" in line
    assert "BACKBENCH_HOME" in line
    assert [path.name for path in Path().iterdir()] == ["afile"]


def test_a_chain_needs_a_backbone(capfd: pytest.CaptureFixture[str]) -> None:
    assert "no backbones were given" in refused(capfd, "run", "--backbones", "")


def spoil_manifest(task: Path, **columns: object) -> str:
    table = pd.read_csv(task.with_name("samples.csv"), dtype=object)
    for name, values in columns.items():
        table = table.drop(columns=name) if values is None else table.assign(**{name: values})
    table.to_csv(task.with_name("samples.csv"), index=False)
    return str(task)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backbone", "clipp"], ["unknown backbone 'clipp'", "Did you mean 'clip'"]),
        (["--backbone", "pixels", "--task", "digts"], ["unknown task", "'digits'"]),
        (["--backbone", "pixels", "--head", "liner"], ["unknown head 'liner'", "'linear'"]),
        (["--backbone", "pixels", "--fold", "10"], ["fold 10", "0 to 9"]),
        (["--backbone", "pixels", "--fold", "x"], ["'x'", "0-10"]),
        (["--backbone", "pixels", "--seed", "7"], ["seed 7", "42, 123, 456"]),
        (["--backbone", "pixels", "--seed", "a"], ["'a'", "42,123,456"]),
        (["--backbone", "pixels", "--set", "head.lrr=1"], ["head.lrr", "head.lr"]),
        (["--backbone", "pixels", "--set", "head.lr=-1"], ["head.lr", "-1", "greater than 0"]),
        (["--backbone", "pixels", "--set", "metrics.primary=auc"], ["metric 'auc'", "auroc_ovr"]),
        (["--backbone", "pixels", "--variant", "v"], ["variant 'v'"]),
        (["--backbone", "timm:resnett18"], ["resnett18"]),
        (["--backbone", "efficientnet_lite0", "--checkpoint", "no.pt"], ["no.pt"]),
    ],
)
def test_a_wrong_option_is_named(
    capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    line = refused(capfd, "train-fold", *arguments)
    assert all(word in line for word in words), line


def test_weights_that_are_not_there_say_what_to_download(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    line = refused(capfd, "extract", "--backbone", "clip")
    assert all(w in line for w in ("openai/clip-vit-base-patch16", "HF_HOME", "backbench prefetch"))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": None}, ["no column 'label'"]),
        ({"sample_id": "same"}, ["'same'", "more than once"]),
        ({"label": "one"}, ["'one'", "two classes"]),
        ({"split": ["train", "test"] * 30}, ["group 'g00'", "is in test and train"]),
        ({"path": "nowhere.png"}, ["60 of 60 files are missing"]),
        ({"label": np.nan}, ["60 samples without label"]),
    ],
)
def test_a_wrong_manifest_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, columns: dict, words: list[str]
) -> None:
    task = small_task(tmp_path)
    if "split" in columns:  # splits within a group
        columns = {**columns, "group": "g00"}
    asked = ("--task", spoil_manifest(task, **columns), "--backbone", "pixels")
    scheme = ("--set", "folds.scheme=given_split") if "split" in columns else ()
    line = refused(capfd, "extract", *asked, *scheme)
    assert all(word in line for word in words), line


def test_a_picture_that_is_none_is_named_and_listed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = small_task(tmp_path)
    (tmp_path / "pictures" / "p007.png").write_bytes(b"no picture")
    line = refused(capfd, "extract", "--task", str(task), "--backbone", "pixels")
    assert "p007.png" in line
    assert "max_error_fraction" in line
    assert pd.read_csv("data_errors.csv")["sample_id"].tolist() == ["p007.png"]


def test_a_checkpoint_with_other_keys_lists_them(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save(
        {"conv_stem.weight": torch.zeros(1), "odd.weight": torch.zeros(1)}, tmp_path / "c.pt"
    )
    line = refused(
        capfd, "extract", "--backbone", "efficientnet_lite0", "--checkpoint", str(tmp_path / "c.pt")
    )
    assert "odd.weight" in line
    assert "missing" in line


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + b"0" * 100, b"foreign"])
def test_a_broken_feature_file_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    path = feature_path("small", identify("pixels"))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    line = refused(capfd, "extract", "--task", str(small_task(tmp_path)), "--backbone", "pixels")
    assert str(path) in line
    assert path.read_bytes() == content


def test_each_of_several_feature_files_is_verified(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = [str(tmp_path / name) for name in ("a.h5", "b.h5")]
    for number, name in enumerate(files):
        np.save(tmp_path / "X.npy", np.full((2, 3), number, np.float32))
        np.save(tmp_path / "X_labels.npy", np.array(["x", "y"]))
        np.save(tmp_path / "X_image_ids.npy", np.array(["1", "2"]))
        maker = Maker("mine", str(number))
        import_(tmp_path / "X.npy", "npy", samples="two", maker=maker).rename(name)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["features", "verify", *files])
    said = capfd.readouterr().out
    assert [f"{name}: 2 x 3 features" in said for name in files] == [True, True]


def test_a_foreign_hdf5_file_is_named(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = feature_path("small", identify("pixels"))
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    line = refused(capfd, "extract", "--task", str(small_task(tmp_path)), "--backbone", "pixels")
    assert str(path) in line


def test_a_board_without_a_server_is_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
    line = refused(capfd, "leaderboard")
    assert "127.0.0.1:9" in line
    assert "secret" not in line


def test_help_comes_quickly_because_nothing_heavy_is_loaded() -> None:
    script = (
        "import sys; from backbench.cli import backbench;"
        "heavy = {'torch', 'mlflow', 'transformers', 'timm', 'pandas', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_help_names_every_head() -> None:
    (head,) = (option for option in leaderboard.params if option.name == "head")
    assert isinstance(head, click.Option)
    assert all(kind in str(head.help) for kind in HEADS)


def test_the_version_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert "backbench" in capfd.readouterr().out


def test_every_set_counts(capfd: pytest.CaptureFixture[str]) -> None:
    """The last one alone would ask another question than was told."""
    words = ["--backbone", "pixels", "--set", "permute_labels=-3", "--set", "seeds=[1]"]
    assert "'permute_labels' is -3" in refused(capfd, "extract", *words)
