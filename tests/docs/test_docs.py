"""What is written down is true: commands exist, links lead somewhere, lists agree."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from backbench.cli import backbench

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Each `backbench ...` line of a page's shell blocks, as words."""
    blocks = [body for kind, body in FENCE.findall(page.read_text()) if kind in ("sh", "bash", "")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [
        shlex.split(line.strip().removeprefix("$ "), comments=True)
        for line in lines
        if "'" not in line or line.count("'") % 2 == 0
    ]
    return [w[1:] for w in words if w and Path(w[0]).name == "backbench"]


def leaf(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the words after it."""
    command: click.Command = backbench
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in command.commands, f"no command 'backbench {arguments[0]}'"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def leaves(group: click.Group, path: str = "backbench") -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        inner = leaves(command, f"{path} {name}") if isinstance(command, click.Group) else None
        found |= inner if inner is not None else {f"{path} {name}": command}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [a or b for a, b in LINK.findall(page.read_text())]
    local = [t for t in targets if "://" not in t and not t.startswith("mailto:")]
    assert [t for t in local if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_and_option_written_down_exists(page: Path) -> None:
    for arguments in commands(page):
        command, rest = leaf(arguments)
        known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        known |= {"--help", "-h", "--version"}
        given = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert [word for word in given if word not in known] == [], arguments


@pytest.mark.parametrize("name", sorted(leaves(backbench)))
def test_every_command_is_written_down_and_helps(name: str) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert name in text
    assert leaves(backbench)[name].help


@pytest.mark.parametrize(
    "target", re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
)
def test_every_make_target_is_written_down(target: str) -> None:
    assert f"make {target}" in "\n".join(page.read_text() for page in PAGES)


def test_conda_installs_what_the_package_needs() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    (pip,) = [item["pip"] for item in conda if isinstance(item, dict)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pip == project["dependencies"]


@pytest.mark.parametrize("name", ["extract", "train_fold", "evaluate", "leaderboard", "main"])
def test_entry_points_take_the_options_of_their_command(name: str) -> None:
    point = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][name]
    command = backbench.commands[{"train_fold": "train-fold", "main": "run"}.get(name, name)]
    options = {opt.removeprefix("--") for p in command.params for opt in p.opts}
    asked = set(re.findall(r"--([\w-]+) \{(\w+)\}", point["command"]))
    assert {parameter for _, parameter in asked} == set(point["parameters"])
    assert {option for option, _ in asked} <= options
    assert (ROOT / "entrypoints" / f"{name}.py").is_file()


SPEED = {
    "one process a backbone": "protocol_vs_process_per_fold",
    "`linear`, 44 folds x 3 seeds": "linear_vs_process_per_fold",
    "a loop with a DataLoader": "linear_vs_loop",
    "`logreg`, 44 folds, C = 1 ": "logreg_vs_sklearn",
    "at an equal objective": "logreg_vs_sklearn_tol1e-6_C1",
    "C = 0.01": "logreg_vs_sklearn_C0.01",
    "20 penalties": "ridge_vs_refits",
    "4 values of k": "knn_vs_loop",
    "units of task `faba`": "stress_vs_process_per_unit",
    "bare forward pass": "extract_vs_bare_forward",
    "| | a timm loop": "extract_vs_timm_loop",
    "the transformers pipeline": "extract_vs_hf_pipeline",
    "EfficientNet-Lite0": "extract_vs_timm_loop_lite0",
    "2,560 x 3,476": "extract_vs_timm_loop_large_jpeg",
}


def test_the_readme_has_the_figures_that_were_measured():
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text())["figures"]
    table = (ROOT / "README.md").read_text().partition("## Speed")[2].partition("## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == len(SPEED)
    for words, name in SPEED.items():
        (row,) = [row for row in rows if words in row]
        shown = row.rstrip(" |").rpartition("| ")[2]
        digits = len(shown.partition(".")[2])
        assert shown == f"{measured[name]:.{digits}f}", name


def test_the_readme_has_what_tracking_a_board_and_a_million_rows_cost():
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text())["figures"]
    text = " ".join((ROOT / "README.md").read_text().partition("## Speed")[2].split())
    board, new, cold, drawing = (
        measured[f"board{price}_vs_filtered_search"]
        for price in ("", "_one_new", "_cold", "_drawing")
    )
    memory = [measured[f"memory_{head}_vs_copy"] for head in ("linear", "mlp", "ridge", "logreg")]
    assert f"spends {measured['tracking_share']:.0%} of its time talking to MLflow" in text
    assert f"{board:.1f} filtered searches of that tracker, {new:.1f} when one" in text
    assert f"{cold:.1f} the first time" in text
    assert f"tables costs {drawing:.1f} on top" in text
    assert f"takes {min(memory):.1f} to {max(memory):.1f} of what a float32 copy" in text


def test_what_the_readme_evaluates_under_mlflow_it_has_trained_whole():
    """`evaluate` refuses a study whose other seeds are missing."""
    block = (ROOT / "README.md").read_text().partition("## MLflow Projects")[2].split("```")[1]
    trained, evaluated, _ = [line.split() for line in block.splitlines()[1:]]
    assert [word.replace("train_fold", "evaluate") for word in trained] == evaluated


def test_the_page_of_heads_has_what_stress_was_measured_to_take():
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text())["figures"]
    figures = {name.removeprefix("stress_"): value for name, value in measured.items()}
    kinds = ("head", "head_all_steps", "head_fp32", "plain")
    steps = ", ".join(f"{figures[f'step_ms_{kind}']:.0f}" for kind in kinds)
    parts = ("products", "adamw", "attention", "rest")
    shares = ", ".join(f"{figures[f'step_share_head_{part}']:.0%}" for part in parts)
    units, processes = figures["units_timed"], figures["processes_timed"]
    pass_of = f"({units} units, {figures['epochs_a_unit']:.0f} epochs"
    rows = {
        pass_of: f"{figures['seconds_a_unit']:.1f}",
        "396 units, at that pace": f"{figures['minutes_396_units']:.0f} minutes",
        f"same head, torch's two threads: times as long for as many epochs ({processes} units)": (
            f"{figures['vs_process_per_unit']:.1f}"
        ),
        f"plain PyTorch: times as long for as many epochs ({processes} units)": (
            f"{figures['vs_plain_process_per_unit']:.1f}"
        ),
        "a step of 16 samples on one core": f"{steps} ms",
        "of the head's step: matrix products": shares,
    }
    lines = (ROOT / "docs" / "heads.md").read_text().splitlines()
    for words, figure in rows.items():
        (line,) = [line for line in lines if words in line]
        assert line.endswith(f"| {figure} |"), words


def test_the_platforms_of_the_readme_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = {c.split(" :: ")[-1] for c in project["classifiers"] if c.startswith("Operating System")}
    assert told == {"Linux", "MacOS"}
    assert "You need Linux or macOS," in (ROOT / "README.md").read_text()
