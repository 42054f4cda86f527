"""Do the intervals hold the truth, and how often is an equal backbone called better?

    python benchmarks/calibrate.py            the full study, about 10 minutes on 2 cores
    python benchmarks/calibrate.py --small    a few boards a case, seconds; proves that it works

Writes `calibration.json` (the tasks of the bar), `calibration_limits.json` (where the bar is harder
to reach) and `calibration.md` (both as tables) beside this file, or to `--out`, which `--small`
has to be given.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import interval_forms
import numpy as np
import usual_ways as usual
from known_truth import CASES, LIMITS, Case, Size
from numpy.typing import NDArray

from backbench.files.atomic import write_json, write_text
from backbench.metrics import Metric, Predictions, resolve
from backbench.metrics.drawn import Values, spread
from backbench.metrics.effective import effective_groups
from backbench.metrics.evidence import Evidence
from backbench.metrics.resampling import bootstrap
from backbench.metrics.separation import BETTER, WORSE, Terms, separate
from backbench.metrics.table import FOLD_MEAN
from backbench.metrics.uncertainty import at_bound, interval
from backbench.metrics.unseen import Unseen

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EVERY_CASE: Mapping[str, Case] = {**CASES, **LIMITS}
DRAWS = 1_000
SEED = 2003
WAYS = ("backbench", "groups_only", "runs_as_independent", "samples_unpaired", "argmax_of_mean")


@dataclass
class Tally:
    """Counts over boards: intervals made and those that hold the truth, and verdicts."""

    held: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    false_boards: dict[str, int] = field(default_factory=dict)
    found: dict[str, list[int]] = field(default_factory=dict)
    boards: int = 0

    def interval(self, way: str, metric: str, low: float, high: float, truth: float) -> None:
        if not np.isnan(low):
            count = self.held.setdefault((way, metric), [0, 0])
            count[0] += 1
            count[1] += bool(low <= truth <= high)

    def add(self, other: "Tally") -> None:
        for key, (made, right) in other.held.items():
            mine = self.held.setdefault(key, [0, 0])
            self.held[key] = [mine[0] + made, mine[1] + right]
        for way, count in other.false_boards.items():
            self.false_boards[way] = self.false_boards.get(way, 0) + count
        for way, (made, right) in other.found.items():
            mine = self.found.setdefault(way, [0, 0])
            self.found[way] = [mine[0] + made, mine[1] + right]
        self.boards += other.boards


Truth = Mapping[str, float]


def truth_of(case_name: str, samples: int) -> dict[str, float]:
    """Population values of a case's metrics, pooled and over folds.

    Over new groups, new seeds and, where heads are trained, new training sets: there it is the mean
    over as many boards as `samples` allows, unbiased for what leave-one-group-out and one split
    estimate. Simulated scores are drawn in large populations.
    """
    case, random = EVERY_CASE[case_name], np.random.default_rng(SEED)
    plain = [metric for metric in case.metrics if not metric.endswith(FOLD_MEAN)]
    names = list(dict.fromkeys([*case.metrics, *(metric + FOLD_MEAN for metric in plain)]))
    per_group = len(case.board(random)[0]) / case.groups
    if case.trained:
        boards = [case.board(random) for _ in range(int(samples / per_group / case.groups / 4))]
        every = [_points(row, names) for board in boards for row in board]
        return dict(zip(names, np.mean(every, axis=0).tolist(), strict=True))
    pooled = 20_000 if any(name.startswith("auroc") for name in names) else 100_000
    size = max(int(pooled / per_group), 1)
    # Folds keep their size; a split stays one fold, whose seed leans one way.
    folds = 1 if case.folds == 1 else max(round(size * case.folds / case.groups), 1)
    parts = max(int(samples / pooled), 50 if case.folds == 1 else 1)
    if case.folds == 1:
        size = max(int(samples / parts / per_group), 1)
    drawn = [case.simulate(random, Size(size, folds, 1, 1))[0] for _ in range(parts)]
    values = np.mean([_points(row, names) for row in drawn], axis=0)
    return dict(zip(names, values.tolist(), strict=True))


def _points(row: Predictions, names: list[str]) -> list[float]:
    evidence = Evidence.of(row)
    whole = np.ones((1, evidence.cells))
    return [float(resolve(name, row.classes).kernel(evidence)(whole)[0]) for name in names]


def study(name: str, truth: Truth, boards: int, seed: int, draws: int) -> Tally:
    """Simulate boards of equal backbones, then boards whose first one is better."""
    case, random = EVERY_CASE[name], np.random.default_rng(seed)
    tally = Tally(boards=boards)
    for _ in range(boards):
        _equal_board(case, truth, random, draws, tally)
    for _ in range(boards // 4):
        board = case.board(random, advantage=case.advantage)[:2]
        metrics = [resolve(case.primary, board[0].classes)]
        drawn = _draw(board, metrics, random, draws)
        for way, said in _verdicts(case, board, drawn, 0).items():
            made = tally.found.setdefault(way, [0, 0])
            made[0] += 1
            made[1] += int(said[0] == 1)
    return tally


def _equal_board(
    case: Case, truth: Truth, random: np.random.Generator, draws: int, tally: Tally
) -> None:
    board = case.board(random)
    metrics = [resolve(name, board[0].classes) for name in case.metrics]
    drawn = _draw(board, metrics, random, draws)
    for k, row in enumerate(board):
        for m, metric in enumerate(metrics):
            low, high = interval(
                drawn.points[k, m],
                drawn.groups[k, m],
                unit=metric.unit,
                groups=effective_groups(row, metric),
                at_bound=at_bound(row, metric),
            )
            tally.interval("backbench", metric.name, low, high, truth[metric.name])
            if metric.form == "pooled":
                low, high = usual.samples_interval(drawn.samples[k, m])
                tally.interval("samples_unpaired", metric.name, low, high, truth[metric.name])
                low, high = usual.runs_interval(usual.run_values(row, metric))
                over_folds = truth[metric.name + FOLD_MEAN]
                tally.interval("runs_as_independent", metric.name, low, high, over_folds)
    for way, said in _verdicts(case, board, drawn, case.metrics.index(case.primary)).items():
        tally.false_boards[way] = tally.false_boards.get(way, 0) + bool(said.any())


@dataclass(frozen=True)
class Draws:
    """Values `[K, M]`, and those of resampled groups and of resampled samples `[K, M, B]`."""

    points: Floats
    groups: Floats
    samples: Floats


def _draw(
    board: list[Predictions],
    metrics: list[Metric],
    random: np.random.Generator,
    draws: int,
) -> Draws:
    every = [Evidence.of(row) for row in board]
    evaluators = [metric.kernel(evidence) for evidence in every for metric in metrics]
    groups = every[0].cells
    values = bootstrap(evaluators, groups, draws=draws, seed=int(random.integers(1 << 31)))
    points = np.array([evaluate(np.ones((1, groups)))[0] for evaluate in evaluators])
    plain = [metric for metric in metrics if metric.form == "pooled"]
    samples = [usual.sample_draws(row, plain, int(random.integers(1 << 31))) for row in board]
    shape = (len(board), len(metrics))
    return Draws(points.reshape(shape), values.reshape(*shape, draws), np.stack(samples))


def _verdicts(case: Case, board: list[Predictions], drawn: Draws, at: int) -> dict[str, Integers]:
    """What each way says of each pair in metric number `at`: 1 better, -1 worse, 0 open."""
    metric = resolve(case.primary, board[0].classes)
    runs = [usual.run_values(row, metric) for row in board]
    means = [values.mean() if len(values) else 0.0 for values in runs]
    alone = replace(case, test_to_train=0.0)
    return {
        "backbench": _separated(case, board, metric, drawn, at),
        "groups_only": _separated(alone, board, metric, drawn, at),
        "runs_as_independent": usual.runs_differ(runs),
        "samples_unpaired": usual.samples_differ(list(drawn.samples[:, at])),
        "argmax_of_mean": np.array([np.sign(a - b) for a, b in combinations(means, 2)], np.int64),
    }


def _separated(
    case: Case, board: list[Predictions], metric: Metric, drawn: Draws, at: int
) -> Integers:
    """As `compare_pairs` does it, from draws that are there already."""
    derived = 1 / (case.folds - 1) if case.folds > 1 else 0.0
    ratio = derived if case.test_to_train is None else case.test_to_train
    rows = len(board)
    nothing = np.full((rows, case.folds), np.nan)
    draws = list(drawn.groups[:, at])
    values = Values(drawn.points[:, at], nothing, [np.empty(0)] * rows, draws)
    pairs = np.array(list(combinations(range(rows), 2)))
    unseen = Unseen.of(board[0], metric) if metric.unit == "share" else None
    groups = len(board[0].group_names)
    terms = Terms(metric, groups, effective_groups(board[0], metric), ratio, unseen=unseen)
    verdict = separate(values, pairs, spread(draws, pairs), terms).verdict
    return np.select([verdict == BETTER, verdict == WORSE], [1, -1], 0)


def run_case(name: str, truth: Truth, boards: int, *, draws: int, processes: int) -> dict[str, Any]:
    """The record of one case.

    Args:
        name: in `CASES` or `LIMITS`.
        truth: of its metrics, pooled and over folds.
        boards: how many of equal backbones; a quarter as many have a better one.
        draws: of each bootstrap.
        processes: to share the boards; the result depends on it, since each has a seed of its own.
    """
    case = EVERY_CASE[name]
    shares = [boards // processes + (i < boards % processes) for i in range(processes)]
    jobs = [(name, truth, share, SEED + 1 + i, draws) for i, share in enumerate(shares)]
    total = Tally()
    with Pool(processes) as pool:
        for part in pool.starmap(study, jobs):
            total.add(part)
    record = _record(case, truth, total, draws)
    if name in CASES:
        record |= forms(case, truth, boards, draws=draws, processes=processes)
    return record


def forms(case: Case, truth: Truth, boards: int, *, draws: int, processes: int) -> dict[str, Any]:
    """Coverage of other intervals from the same kind of draws, and on which side they miss."""
    shares = [boards // processes + (i < boards % processes) for i in range(processes)]
    jobs = [(case, truth, share, SEED + 101 + i, draws) for i, share in enumerate(shares)]
    total: interval_forms.Held = {}
    with Pool(processes) as pool:
        for part in pool.starmap(interval_forms.count, jobs):
            for key, counts in part.items():
                total[key] = np.add(total.get(key, [0, 0, 0]), counts).tolist()
    found: dict[str, dict[str, dict[str, float]]] = {form: {} for form in interval_forms.FORMS}
    for (form, metric), (made, below, above) in total.items():
        found[form][metric] = {
            "coverage": round(1 - (below + above) / made, 4),
            "too_low": round(below / made, 4),
            "too_high": round(above / made, 4),
        }
    return {"interval_forms": found}


def _record(case: Case, truth: Truth, tally: Tally, draws: int) -> dict[str, Any]:
    shares = {
        way: {
            "coverage": {
                metric: round(right / made, 4)
                for (of, metric), (made, right) in tally.held.items()
                if of == way
            },
            "false_better_per_board": round(tally.false_boards[way] / tally.boards, 4),
            "true_better_found": round(tally.found[way][1] / max(tally.found[way][0], 1), 4),
        }
        for way in WAYS
    }
    ours = shares.pop("backbench")
    return {
        "description": case.description,
        "boards": tally.boards,
        **ours,
        "primary": case.primary,
        "backbones": 4,
        "seeds": case.seeds,
        "groups": case.groups,
        "folds": case.folds,
        "bootstrap_draws": draws,
        "truth": {name: round(value, 5) for name, value in truth.items()},
        "other_ways": shares,
    }


def to_markdown(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Two tables: coverage, then verdicts."""
    coverage = [
        "| case | metric | truth | Backbench | runs as independent | samples resampled |",
        "|---|---|---|---|---|---|",
    ]
    verdicts = [
        "| case | boards | | Backbench | groups only | runs as independent | samples | argmax |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in records.items():
        others = one["other_ways"]
        for metric, share in one["coverage"].items():
            cells = [
                _percent(others[way]["coverage"].get(metric))
                for way in ("runs_as_independent", "samples_unpaired")
            ]
            coverage.append(
                f"| {name} | {metric} | {one['truth'][metric]:.3f} | {_percent(share)} | "
                f"{' | '.join(cells)} |"
            )
        for key, words in (
            ("false_better_per_board", f"4 equal rows: any called better ({one['primary']})"),
            ("true_better_found", "2 rows, one better: found"),
        ):
            cells = [_percent(one[key]), *(_percent(others[way][key]) for way in WAYS[1:])]
            verdicts.append(f"| {name} | {one['boards']} | {words} | {' | '.join(cells)} |")
    return "\n".join([*coverage, "", *verdicts, "", *_forms_table(records)])


def _forms_table(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Coverage of the forms of an interval, with the share of intervals below and above."""
    lines = []
    for name, one in records.items():
        for metric in one["coverage"] if "interval_forms" in one else ():
            cells = [one["interval_forms"][form][metric] for form in interval_forms.FORMS]
            words = [
                f"{_percent(c['coverage'])} ({_percent(c['too_low'])}, {_percent(c['too_high'])})"
                for c in cells
            ]
            lines.append(f"| {name} | {metric} | {' | '.join(words)} |")
    head = ["| case | metric | logit t | percentile | BCa | plain t |", "|---|---|---|---|---|---|"]
    return [*head, *lines, ""] if lines else []


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="8 boards a case, seconds")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", action="append", choices=EVERY_CASE, help="keep the others")
    options = parser.parse_args()
    if options.small and options.out is None:
        parser.error("--small proves nothing that should be kept; say --out FOLDER.")
    out: Path = options.out or Path(__file__).parent
    chosen = options.case or list(EVERY_CASE)
    samples = 20_000 if options.small else 600_000
    with Pool(options.processes) as pool:
        found = pool.starmap(truth_of, [(name, samples) for name in chosen], chunksize=1)
    truth, text = dict(zip(chosen, found, strict=True)), [_HEAD]
    for name, cases in (("calibration", CASES), ("calibration_limits", LIMITS)):
        path = out / f"{name}.json"
        records = json.loads(path.read_text()) if options.case else {}
        for case in [case for case in cases if case in chosen]:
            start = time.perf_counter()
            records[case] = run_case(
                case,
                truth[case],
                8 if options.small else cases[case].boards,
                draws=100 if options.small else DRAWS,
                processes=options.processes,
            )
            print(f"{case}: {time.perf_counter() - start:.0f} s", flush=True)
        records = {case: records[case] for case in cases}
        write_json(path, records)
        text += [f"## {_TITLES[name]}\n", to_markdown(records)]
    write_text(out / "calibration.md", "\n".join(text))


_HEAD = """# Calibration: known truth against what is said of it

Made by `python benchmarks/calibrate.py`; docs/statistics.md explains it. Coverage should be 95%,
false calls at most 5% a board. The interval over runs is held against the mean over folds, which is
what it estimates; all others against the pooled metric.
"""
_TITLES = {"calibration": "The tasks of the bar", "calibration_limits": "Limits"}

if __name__ == "__main__":
    main()
