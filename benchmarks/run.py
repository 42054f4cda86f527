"""Run every benchmark and write `results.md` and `results.json` beside this file.

    python benchmarks/run.py [--small]

What is compared is timed in the same run. `--small` proves that all of them work and writes
nothing; `tests/benchmarks` does so for those that are commands of their own.
"""

import argparse
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import board
import extraction
import memory
import scaling
import stress
import tracking

import heads
from backbench.files import atomic
from backbench.runs import environment

HERE = Path(__file__).parent


class Measure(Protocol):
    """A benchmark: figures by name."""

    def __call__(self, *, small: bool) -> dict[str, float]: ...


PARTS: Mapping[str, Measure] = {
    "tracking": tracking.measure,
    "board": board.measure,
    "extraction": extraction.measure,
    "stress": stress.measure,
    "heads": heads.measure,
    "scaling": scaling.measure,
    "memory": memory.measure,
}


def main() -> None:
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=sorted(PARTS), action="append")
    arguments = parser.parse_args()
    found, made_at = _kept() if arguments.only and not arguments.small else ({}, {})
    # Before a benchmark draws its picture into the repository.
    version = "" if arguments.small else _version()
    for name in arguments.only or PARTS:
        print(f"--- {name}", flush=True)
        made_at[name] = version
        found |= PARTS[name](small=arguments.small)
    print(_table(found))
    if not arguments.small:
        about = {"machine": _machine(), "measured_at": made_at, "figures": found}
        atomic.write_json(HERE / "results.json", about)
        parts = "\n".join(f"- {name}: {version}" for name, version in made_at.items())
        sections = ("# Benchmarks", _words(), "Measured at these commits:", parts, _table(found))
        atomic.write_text(HERE / "results.md", "\n\n".join(sections) + "\n")


def _kept() -> tuple[dict[str, float], dict[str, str]]:
    path = HERE / "results.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    return before.get("figures", {}), before.get("measured_at", {})


def _version() -> str:
    """Of the code that is measured: its commit, `-dirty` where it differs from it, and the day."""
    git = environment()["git"]
    commit = git["commit"][:7] + "-dirty" * git["dirty"] if git else "no commit"
    return f"{commit}, {datetime.now(UTC).date().isoformat()}"


def _machine() -> dict[str, object]:
    known = environment()
    return {
        "cpu": known["cpu"],
        "cpus": os.cpu_count(),
        "system": platform.system(),
        "python": known["python"],
        "versions": _versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _versions() -> dict[str, str | None]:
    packages = environment()["packages"]
    return {name: packages.get(name) for name in ("torch", "mlflow", "scikit-learn", "numpy")}


def _words() -> str:
    about = _machine()
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return (
        f"{about['cpu']}, {about['cpus']} CPUs, Python {about['python']}, {versions}; "
        f"{about['date']}. `a_vs_b` is how many times as fast a is as b, both timed in the same "
        "run, except `board_*_vs_filtered_search`, which is what the board costs in units of one "
        "search, and `memory_*_vs_copy`, which is the memory that training takes over that of a "
        "float32 copy of the features. `scaling_*` is time over that of the base study. The names "
        "of the others say what they are. Made by `make bench`."
    )


def _table(found: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in found.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows])


if __name__ == "__main__":
    main()
