"""site.env: read strictly, resolved once, and understood by bash as it was by us."""

import subprocess
from pathlib import Path

import pytest

from backbench.errors import SchedulerError
from backbench.pipeline.submit_site import HERE, Site, packaged

ROOT = Path(__file__).parents[2]


def site(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "site.env"
    path.write_text(text)
    return Site.read(path)


def test_the_file_in_the_folder_slurm_names_every_setting_and_sets_none() -> None:
    assert Site.read(ROOT / "slurm" / "site.env") == Site()
    written = (ROOT / "slurm" / "site.env").read_text()
    assert [n for n in vars(Site()) if f"\nBACKBENCH_{n.upper()}=" not in written] == []


@pytest.mark.parametrize("name", ["site.env", "task.sbatch"])
def test_the_package_carries_the_very_files_of_the_folder_slurm(name: str) -> None:
    assert packaged(name).read_text() == (ROOT / "slurm" / name).read_text()


def test_values_are_resolved_by_the_shell_that_submits(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORK", "/project/lab")
    read = site(
        tmp_path,
        "# ours\n\nexport BACKBENCH_ACCOUNT=lab  # of the group\n"
        'BACKBENCH_VENV=${WORK}/venv\nBACKBENCH_MODULES="python/3.11 cuda"\nBACKBENCH_CPUS=4\n'
        "BACKBENCH_SETUP='export X=$SLURM_JOB_ID'\n",
    )
    assert read.account == "lab"
    assert read.venv == "/project/lab/venv"
    assert read.modules == "python/3.11 cuda"
    assert read.setup == "export X=$SLURM_JOB_ID"


def test_the_file_beside_the_project_is_found(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Site.read(None) == Site()
    HERE.parent.mkdir()
    HERE.write_text("BACKBENCH_QOS=long\n")
    assert Site.read(None).qos == "long"


def test_bash_reads_back_what_was_resolved(tmp_path: Path) -> None:
    odd = Site(setup="""echo "it's" $HOME; true""", modules="a b", venv="/x y")
    (tmp_path / "site.env").write_text(odd.text())
    script = (
        'source site.env; printf "%s|" "$BACKBENCH_SETUP" "$BACKBENCH_MODULES" "$BACKBENCH_VENV"'
    )
    done = subprocess.run(
        ["bash", "-uc", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{odd.setup}|a b|/x y|"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BACKBENCH_ACOUNT=lab", ["line 1", "'BACKBENCH_ACOUNT'", "'BACKBENCH_ACCOUNT'"]),
        ("\nlab", ["line 2", "NAME=value", "lab"]),
        ("BACKBENCH_TIME=4 hours", ["line 1", "quotes"]),
        ("BACKBENCH_TIME='4", ["line 1", "quot"]),
        ("BACKBENCH_VENV=$NOT_SET/venv", ["NOT_SET", "not set"]),
        ("BACKBENCH_MAX_JOBS=many", ["BACKBENCH_MAX_JOBS", "'many'", "whole number"]),
        ("BACKBENCH_CPUS=0", ["BACKBENCH_CPUS", "'0'"]),
        ("BACKBENCH_OFFLINE=yes", ["BACKBENCH_OFFLINE", "'yes'", "0 or 1"]),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SchedulerError) as error:
        site(tmp_path, text)
    line = str(error.value)
    assert all(word in line for word in words), line
    assert "\n" not in line


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match=r"none\.env.*--site"):
        Site.read(tmp_path / "none.env")
