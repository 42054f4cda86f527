"""`backbench submit` and `status` at the door: a mistake is one line and leaves nothing."""

from pathlib import Path

import pytest

from backbench.cli import main
from backbench.files.home import submissions_folder
from small_task import small_task


def ended(*arguments: str) -> object:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


@pytest.fixture
def task() -> str:
    small_task(Path.cwd())
    Path("bad.env").write_text("BACKBENCH_ACOUNT=lab\n")
    return "small.toml"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.toml", "--backbones", "pixels"], ["nowhere.toml"]),
        (["smal", "--backbones", "pixels"], ["unknown task 'smal'"]),
        (["small.toml", "--backbones", "pixelz"], ["unknown backbone 'pixelz'", "'pixels'"]),
        (["small.toml", "--backbones", "pixels="], ["'pixels='", "clip=path"]),
        (["small.toml", "--backbones", ""], ["no backbones", "--backbones"]),
        (["small.toml", "--backbones", "pixels", "--seeds", "7"], ["seed 7", "1, 2"]),
        (["small.toml", "--backbones", "pixels", "--head", "rigde"], ["'rigde'", "'ridge'"]),
        (["small.toml", "--backbones", "pixels", "--site", "no.env"], ["no.env", "--site"]),
        (["small.toml", "--backbones", "pixels", "--site", "bad.env"], ["line 1", "ACCOUNT"]),
        (["small.toml", "--backbones", "pixels"], ["no sbatch", "--local"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.setenv("PATH", str(Path.cwd()))
    assert ended("submit", *arguments) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert not submissions_folder().exists()


@pytest.mark.parametrize("option", ["--tasks", "--limit", "--max-jobs", "--jobs"])
def test_a_count_starts_at_one(capfd: pytest.CaptureFixture[str], task: str, option: str) -> None:
    assert ended("submit", task, "--backbones", "pixels", option, "0") == 2
    assert option in capfd.readouterr().err


def test_nothing_submitted_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended("status") == 2
    assert "backbench submit" in capfd.readouterr().err


def test_a_dry_run_prints_everything_and_changes_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("PATH", str(Path.cwd()))  # also where there is no SLURM
    Path("site.env").write_text("BACKBENCH_ACCOUNT=lab\nBACKBENCH_GPUS=1\nBACKBENCH_LIMIT=2\n")
    arguments = ("--backbones", "pixels,clip", "--tasks", "4", "--max-jobs", "5")
    assert ended("submit", task, *arguments, "--site", "site.env", "--dry-run") == 0
    told = capfd.readouterr().out
    assert "clip: features missing, weights not fetched yet; 8 of 8 units missing" in told
    assert "--task small.toml --backbone clip --checkpoint default --seed 1,2 --fold 0" in told
    lines = [line for line in told.splitlines() if line.startswith("sbatch ")]
    assert [("--gres=gpu:1" in line, "--account=lab" in line) for line in lines] == [
        (True, True), (True, True), (False, True), (False, True),
    ]  # fmt: skip
    assert [line.partition("--dependency=")[2].split(" ")[0].strip("'") for line in lines] == [
        "", "afterok:<extract>", "afterok:<train>", "afterok:<evaluate>",
    ]  # fmt: skip
    arrays = [line.partition("--array=")[2].split(" ")[0] for line in lines]
    assert arrays == ["0-0%2", "0-1%2", "0-0%2", "0-0%2"]
    assert "#SBATCH --kill-on-invalid-dep=yes" in told
    assert "Nothing was submitted" in told
    assert not submissions_folder().exists()


def test_a_dry_run_does_not_print_the_password_of_a_proxy(
    capfd: pytest.CaptureFixture[str], task: str
) -> None:
    Path("site.env").write_text("BACKBENCH_PROXY=http://me:sekret@proxy:3128\n")
    arguments = ("--backbones", "pixels", "--site", "site.env", "--dry-run")
    assert ended("submit", task, *arguments) == 0
    told = capfd.readouterr().out
    assert "@proxy:3128" in told
    assert "sekret" not in told


def test_nodes_without_a_tracker_get_neither_summary_nor_board(
    capfd: pytest.CaptureFixture[str], task: str
) -> None:
    assert ended("submit", task, "--backbones", "pixels", "--offline", "--dry-run") == 0
    told = capfd.readouterr().out
    assert "backbench train-fold" in told
    assert "backbench evaluate" not in told
    assert "BACKBENCH_OFFLINE=1" in told


def test_a_summary_waits_for_the_seeds_that_were_not_asked_for(
    capfd: pytest.CaptureFixture[str], task: str
) -> None:
    assert ended("submit", task, "--backbones", "pixels", "--seeds", "1", "--dry-run") == 0
    told = capfd.readouterr().out
    assert "--seed 1 --fold 0-3" in told
    assert "backbench evaluate" not in told
