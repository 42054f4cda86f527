"""The demo ends as the README shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
ROW = r"^ +\d  (\S.*?) {2,}([\d.]+) \[([\d.]+), ([\d.]+)\]  (?:the best|worse by ([\d.]+))$"
IN_FP32 = r"in fp32 its row is ([\d.]+), worse by ([\d.]+)\."
ROUNDING = 0.0015  # of three digits, and a picture that another processor takes for another digit


def shown(*, untrained_in_fp32: bool) -> dict[str, list[float]]:
    """Value, ends of the interval and distance from the best of each row, from the best down."""
    rows = re.findall(ROW, README, re.MULTILINE)
    table = {name: [float(figure or 0) for figure in figures] for name, *figures in rows}
    if untrained_in_fp32:
        ((value, behind),) = re.findall(IN_FP32, README)
        name = "efficientnet_lite0 untrained"
        shift = float(value) - table[name][0]
        table[name] = [*(figure + shift for figure in table[name][:3]), float(behind)]
    return table


def test_the_demo_ends_as_the_readme_shows(tmp_path: Path) -> None:
    environment = os.environ | {"BACKBENCH_HOME": str(tmp_path / "home")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [str(Path(sys.executable).with_name("backbench")), "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    figures = [f"balanced_accuracy{end}" for end in ("", "_low", "_high")]
    table = pd.read_csv(tmp_path / "board" / "leaderboard.csv").set_index("name")
    table["behind"] = -table["difference_to_best"].fillna(0)
    said = shown(untrained_in_fp32="precision efficientnet_lite0 untrained: fp32" in done.stdout)
    assert list(said) == table.index.tolist()
    assert table["rank"].tolist() == [1, 2, 3]
    for name, expected in said.items():
        found = table.loc[name, [*figures, "behind"]].tolist()
        assert found == pytest.approx(expected, abs=ROUNDING), name
    (champion,) = re.findall(r"^champion .*$", README, re.MULTILINE)
    assert champion in done.stdout
