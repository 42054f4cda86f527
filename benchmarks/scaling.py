"""How the cost of training grows, and a whole protocol against one process per fold.

    python benchmarks/run.py --only scaling [--small]

From a base study each of folds, seeds, samples and width is doubled three times; a point is its
time over that of the base, which is timed again beside it, so that both see the same machine; the
median of three such ratios. The picture goes to `docs/scaling.png`. The protocol is that of four
backbones, 44 folds and 3 seeds, the `linear` head, start of Python and imports included on both
sides: one process per backbone that trains all units in one pass, against one process per fold
with the loop of `heads.py`, of which a few are timed and scaled to all 528.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import heads
from backbench.files.atomic import replacing
from backbench.heads import Problem, Unit, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = Path(__file__).parents[1] / "docs" / "scaling.png"
BACKBONES, SEEDS, REPEATS = 4, (42, 123, 456), 3
TABLE = {"kind": "linear", "epochs": heads.EPOCHS, "batch_size": heads.BATCH, "patience": 0}


@dataclass(frozen=True)
class Study:
    """A size of study."""

    folds: int = 12
    seeds: int = 1
    samples: int = 1500
    width: int = 256

    def seconds(self) -> float:
        """To train all units in one pass."""
        problem, folds = heads.make(self.samples, self.width, 10, self.folds)
        units = [Unit(fold, seed) for seed in range(self.seeds) for fold in folds]
        return heads.clock(lambda: train(TABLE, problem, units))


AXES = ("folds", "seeds", "samples", "width")


def measure(*, small: bool) -> dict[str, float]:
    """Costs relative to the base by `scaling_<axis>_x<factor>`, and the protocol's ratio."""
    base = Study(4, 1, 200, 16) if small else Study()
    factors = (2,) if small else (2, 4, 8)
    base.seconds()  # warm up
    found = dict(_growth(base, factors))
    drawn = draw(found, base)
    if not small:
        with replacing(PICTURE) as temporary:
            drawn.savefig(temporary, dpi=130, format="png", metadata={"Software": None})
    return found | _protocol(small=small)


def _growth(base: Study, factors: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    for axis in AXES:
        for factor in factors:
            larger = replace(base, **{axis: factor * getattr(base, axis)})
            ratios = [larger.seconds() / base.seconds() for _ in range(REPEATS)]
            yield f"scaling_{axis}_x{factor}", statistics.median(ratios)


def draw(found: Mapping[str, float], base: Study) -> "Figure":
    """The growth as a picture: a line an axis, and what growth in proportion would be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    factors = sorted({int(name.rpartition("_x")[2]) for name in found if "_x" in name})
    axes.plot([1, *factors], [1, *factors], "--", color="#9aa4ae", label="in proportion")
    for axis, marker in zip(AXES, "osD^", strict=True):
        costs = [1.0, *(found[f"scaling_{axis}_x{factor}"] for factor in factors)]
        axes.plot([1, *factors], costs, marker=marker, label=f"{axis} ({getattr(base, axis)})")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    ticks = [1, *factors]
    axes.set_xticks(ticks, [f"x{tick}" for tick in ticks])
    axes.set_yticks(ticks, [f"x{tick}" for tick in ticks])
    axes.set_xlabel("how many times as much (of the number in brackets)")
    axes.set_ylabel("time to train all units, relative")
    axes.set_title("What it costs to have more: linear head, all units in one pass", loc="left")
    axes.grid(color="#e3e7eb")
    axes.legend(frameon=False)
    return figure


def _protocol(*, small: bool) -> dict[str, float]:
    """Four backbones x 44 folds x 3 seeds, as processes on both sides."""
    n, d, groups, timed = (240, 32, 6, 2) if small else (2907, 768, 44, 4)
    problem, folds = heads.make(n, d, 2, groups)
    per_fold = heads.processes(problem, folds[:timed]) / timed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.npz"
        group = np.zeros(n, np.int64)
        for fold in folds:
            group[fold.test] = fold.index
        np.savez(path, X=problem.X, y=problem.y, group=group)
        command = [sys.executable, __file__, str(path)]
        ours = heads.clock(lambda: [subprocess.run(command, check=True) for _ in range(BACKBONES)])
    units = BACKBONES * len(SEEDS) * groups
    return {
        "protocol_units": float(units),
        "protocol_seconds": ours,
        "protocol_vs_process_per_fold": units * per_fold / ours,
        "protocol_processes_timed": float(timed),
    }


def _one_study(path: str) -> None:
    """What one of our processes does: all folds and seeds of one backbone."""
    data = np.load(path)
    group, count = data["group"], int(data["group"].max()) + 1
    folds = [heads.leave_out(group, index, count) for index in range(count)]
    problem = Problem(data["X"], data["y"], 2, count)
    train(TABLE, problem, [Unit(fold, seed) for seed in SEEDS for fold in folds])


if __name__ == "__main__":  # one of the processes that are measured
    _one_study(*sys.argv[1:])
