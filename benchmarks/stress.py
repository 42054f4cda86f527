"""The `stress` head in one pass against a process a unit, on generated plants of the real size.

    python benchmarks/run.py --only stress [--small]

Units are whole ones: real widths, the task's settings, early stopping. The pass, a process a unit
with the same head, and a process a unit with plain PyTorch (`plain_stress.py`, as many epochs as
the head took) train in turn, in one run; each process has torch's own number of threads and the
machine to itself. What a step of training is made of comes from torch's profiler, on one thread.
The time of the whole protocol is 396 times the seconds a unit of the pass.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import plain_stress
import torch

from backbench.folds import Fold
from backbench.heads import Problem, Unit, UnitResult, train
from backbench.heads.settings import Precision, StressSettings
from backbench.heads.stress_data import Course, Plants, Steps
from backbench.heads.stress_unit import Training
from backbench.pipeline.make_data import make_data
from backbench.pipeline.question import plan_of
from backbench.samples import NoFiles, Samples
from backbench.samples.made_plants import WIDTHS, MadePlants, Wish
from backbench.samples.plants import read_plants
from backbench.samples.series import Channel, Series
from backbench.tasks import load_task
from heads import clock, timed

PROTOCOL, SIGNAL, SEEDS = 396, 0.6, (42, 123, 456)
PARTS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::addmv_"),
    "attention": ("aten::_softmax", "aten::_softmax_backward_data", "aten::masked_fill_"),
    "adamw": ("aten::_fused_adamw_", "aten::linalg_vector_norm", "aten::_foreach_"),
    "dropout": ("aten::native_dropout", "aten::bernoulli_", "aten::native_dropout_backward"),
}


def measure(*, small: bool = False) -> dict[str, float]:
    """All figures; `small` shows that it works, at sizes that prove no speed."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder), small=small)


def _measure(folder: Path, *, small: bool) -> dict[str, float]:
    problem, folds = make(folder / "plants", 36 if small else 264)
    table = {"kind": "stress"} | ({"epochs": 5, "patience": 2} if small else {})
    stored = write(folder / "problem.npz", problem, folds)
    units = [Unit(folds[i], SEEDS[k % 3]) for k, i in enumerate(spread(folds, 4 if small else 8))]
    found = race(table, problem, units, stored, processes=1 if small else 2)
    found |= profile(problem, folds[0], stored, steps=2 if small else 30)
    for name, value in found.items():
        print(f"{name:42} {value:.4g}", flush=True)
    return found


def make(folder: Path, plants: int) -> tuple[Problem, tuple[Fold, ...]]:
    """Generated plants with the features of one backbone, and the folds of the task."""
    task, wish = load_task("faba"), Wish(plants, dict.fromkeys(WIDTHS, SIGNAL), 1)
    make_data("faba", wish=wish, backbones={}, out=folder)
    samples, made = read_plants(folder, name="faba", group=task.folds.group), MadePlants(wish)
    shown = made.table_of_pictures().itertuples(index=False)
    rows = {f"{plant}/{step}/{view}": row for row, (plant, step, view) in enumerate(shown)}
    series = watched(samples)
    X = made.vectors("dinov2", SIGNAL)[[rows[ident] for ident in series.pictures.ids]]
    plan = plan_of(task, samples)
    return Problem(X, samples.y, 2, len(plan), series), plan.folds


def watched(of: Samples | Problem) -> Series:
    """What is known over time of samples that are plants."""
    assert of.series is not None
    return of.series


def spread(folds: Sequence[Fold], count: int) -> list[int]:
    """Fold numbers that are far apart."""
    return [len(folds) * k // count for k in range(count)]


def write(path: Path, problem: Problem, folds: Sequence[Fold]) -> Path:
    """The problem as a file that a process reads."""
    series = watched(problem)
    names = ("day", "y", "scored", "onset", "picture")
    arrays = {"X": problem.X, "plant_y": problem.y} | {n: getattr(series, n) for n in names}
    for name, channel in series.channels.items():
        arrays |= {name: channel.values, f"{name}_observed": channel.observed}  # noqa: PD011 - no pandas
    for fold in folds:
        arrays |= {f"{side}_{fold.index}": getattr(fold, side) for side in ("train", "val", "test")}
    np.savez(path, **arrays)
    return path


def read(path: Path, index: int) -> tuple[Problem, Fold]:
    """What `write` wrote."""
    with np.load(path) as file:
        data = dict(file)
    channels = {n: Channel(data[n], data[f"{n}_observed"]) for n in ("fluor", "env", "vi")}
    steps, views = (tuple(map(str, range(size))) for size in data["picture"].shape[1:])
    named = {n: data[n] for n in ("day", "y", "scored", "onset", "picture")}
    pictures = unseen_pictures(len(data["X"]))
    series = Series(steps=steps, views=views, channels=channels, pictures=pictures, **named)
    fold = Fold(index, str(index), *(data[f"{side}_{index}"] for side in ("train", "val", "test")))
    return Problem(data["X"], data["plant_y"], 2, 0, series), fold


def unseen_pictures(count: int) -> Samples:
    """Rows that stand for pictures of which a process has the features only."""
    ids = np.arange(count).astype(str)
    frame = pd.DataFrame({"sample_id": ids, "group": ids, "split": "", "path": ""})
    return Samples("unseen", frame.assign(label=np.arange(count) % 2), NoFiles())


# --- a pass and processes ------------------------------------------------------------------------


def race(
    table: Mapping[str, object], problem: Problem, units: list[Unit], stored: Path, processes: int
) -> dict[str, float]:
    """The pass in halves, and `processes` of its units alone between them."""
    results: list[UnitResult] = []
    own: list[float] = []
    plain: list[float] = []
    epochs: list[int] = []
    seconds = 0.0
    for half in (units[: len(units) // 2], units[len(units) // 2 :]):
        trained, took = timed(partial(train, table, problem, half))
        results, seconds = results + trained, seconds + took
        for result in trained[: max(1, processes // 2)]:
            unit = result.unit
            epochs.append(len(result.history["val_loss"]))
            key = [str(stored), str(unit.fold.index), str(unit.seed)]
            own.append(clock(partial(run, __file__, *key, json.dumps(table))))
            plain.append(clock(partial(run, plain_stress.__file__, *key, str(epochs[-1]))))
    alone = train(table, problem, [results[0].unit])[0]
    lasted = [len(result.history["val_loss"]) for result in results]
    same = seconds * sum(epochs) / sum(lasted)  # what as many epochs take in the pass
    return {
        "stress_seconds_a_unit": seconds / len(units),
        "stress_epochs_a_unit": float(np.mean(lasted)),
        "stress_units_timed": len(units),
        "stress_vs_process_per_unit": sum(own) / same,
        "stress_vs_plain_process_per_unit": sum(plain) / same,
        "stress_processes_timed": len(own),
        "stress_alone_vs_all_difference": float(np.abs(alone.logits - results[0].logits).max()),
        "stress_minutes_396_units": PROTOCOL * seconds / len(units) / 60,
    }


def run(*command: str) -> None:
    """A Python process, to its end."""
    subprocess.run([sys.executable, *command], check=True)


def one_unit(path: str, fold: str, seed: str, table: str) -> None:
    """What a process a unit does."""
    problem, of_unit = read(Path(path), int(fold))
    train(json.loads(table), problem, [Unit(of_unit, int(seed))])


# --- what a step is made of ----------------------------------------------------------------------


def profile(problem: Problem, fold: Fold, stored: Path, steps: int) -> dict[str, float]:
    """Milliseconds of a step on one thread, and where they go, as shares."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return (
            _profile("head", _head_step(problem, fold), steps)
            | _profile("head_fp32", _head_step(problem, fold, precision="fp32"), steps)
            | _profile("head_all_steps", _head_step(problem, fold, packed=False), steps)
            | _profile("plain", _plain_step(stored, fold), steps)
        )
    finally:
        torch.set_num_threads(before)


def _head_step(
    problem: Problem, fold: Fold, *, precision: Precision = "bf16", packed: bool = True
) -> Callable[[], object]:
    settings = replace(StressSettings(), precision=precision)
    course = Course.of(problem.X, watched(problem), settings)
    training = Training((Plants if packed else AllSteps)(course), Unit(fold, 42))
    rows = np.random.default_rng(0).permutation(fold.train)[: settings.batch_size]
    return lambda: training.step(rows)


class AllSteps(Plants):
    """Without packing: the network looks at steps that count for nothing, too."""

    def packed(self, rows: torch.Tensor, length: int) -> Steps:
        """Every step."""
        del length
        return self.all_steps(rows)


def _plain_step(stored: Path, fold: Fold) -> Callable[[], object]:
    with np.load(stored) as file:
        step = plain_stress.Step(dict(file), fold.train)
    return lambda: step(torch.from_numpy(fold.train[:16]))


def _profile(name: str, step: Callable[[], object], steps: int) -> dict[str, float]:
    """The fastest step, and the shares of operations in a profile of some."""
    for _ in range(3):
        step()
    fastest = min(clock(step) for _ in range(steps))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        took = clock(lambda: [step() for _ in range(3)])
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in seen.key_averages()}
    shares = {
        part: sum(spent[key] for key in spent if key.startswith(prefixes)) / took
        for part, prefixes in PARTS.items()
    }
    shares["rest"] = 1 - sum(shares.values())
    found = {f"stress_step_ms_{name}": fastest * 1e3}
    return found | {f"stress_step_share_{name}_{part}": share for part, share in shares.items()}


if __name__ == "__main__":  # one of the processes that are measured
    one_unit(*sys.argv[1:])
