"""What the leaderboard costs in an experiment of 30,000 runs, against one filtered search.

    python benchmarks/run.py --only board [--small]

The runs are written straight into the tables of a SQLite store, but for the evaluate runs, which
are recorded as every run is: 100 rows, 44 groups, 3 seeds.

A board is: to search for its evaluate runs, to read their summaries and predictions, and to compare
and rank them. What it drew of rows is kept in the home folder, so there are three prices, each in
units of one search by the same two tags:

- `board_vs_filtered_search`: every board but the first, of runs that are known;
- `board_one_new_vs_filtered_search`: one of the runs was evaluated since the last board;
- `board_cold_vs_filtered_search`: the first board, nothing is known.

To write the board out (CSV, Markdown, HTML, PNG) comes on top, `board_drawing_vs_filtered_search`;
that depends on its rows, not on the size of the experiment.
"""

import gc
import shutil
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from own_home import own_home

from backbench.files import atomic
from backbench.files.kept import Kept
from backbench.leaderboard import build_board
from backbench.leaderboard.publish import write_board
from backbench.metrics import Estimate, Predictions, summarise
from backbench.pipeline.entries import read_entries
from backbench.pipeline.out_of_fold import PREDICTIONS
from backbench.pipeline.question import resolve_task
from backbench.pipeline.summary import SUMMARY
from backbench.runs import Tracker, recording, tags
from backbench.tasks import Protocol, Task

GROUPS, EACH, SEEDS = 44, 6, (42, 123, 456)
REPEATS = 7
EXPERIMENT = "digits"


def measure(*, small: bool) -> dict[str, float]:
    """The prices, and the parts of the usual one: reading (with its search) and building."""
    runs, rows = (300, 5) if small else (30_000, 100)
    with own_home() as folder:
        task = resolve_task(EXPERIMENT)
        seed_evaluate_runs(task, rows)
        seed_train_runs(folder / "mlflow.db", runs - rows)
        found = _ratios(task)
    return found | {"board_runs": float(runs), "board_rows": float(rows)}


def _ratios(task: Task) -> dict[str, float]:
    """Medians of ratios of neighbours in time."""
    wanted = {tags.STAGE: "evaluate", tags.TASK: task.name}
    known, but_one = Kept(Path("known")), Kept(Path("but_one"))
    entries = read_entries(task)
    board = build_board(entries, task, kept=known)
    build_board(entries[1:], task, kept=but_one)
    ratios: dict[str, list[float]] = {}
    for turn in range(REPEATS):
        some = Kept(Path(shutil.copytree(but_one.folder, f"but_one_{turn}")))
        none = Kept(Path(f"nothing_{turn}"))
        search = _seconds(lambda: Tracker().find(wanted))
        read = _seconds(lambda: read_entries(task))
        prices = {
            "read": read,
            "build": (build := _seconds(lambda: build_board(entries, task, kept=known))),
            "": read + build,
            "one_new": read + _seconds(partial(build_board, entries, task, kept=some)),
            "drawing": _seconds(partial(write_board, board, Path("out"))),
            "cold": read + _seconds(partial(build_board, entries, task, kept=none)),
        }
        for name, seconds in prices.items():
            ratios.setdefault(name, []).append(seconds / search)
    return {
        "_".join(filter(None, ["board", name, "vs_filtered_search"])): statistics.median(values)
        for name, values in ratios.items()
    }


def seed_evaluate_runs(task: Task, rows: int) -> None:
    """Record evaluate runs with predictions of known quality."""
    rng = np.random.default_rng(0)
    protocol = Protocol.of(task, samples="made", folds="made")
    y = rng.integers(0, 4, GROUPS * EACH)
    for row in range(rows):
        with recording(
            experiment=EXPERIMENT,
            name=f"evaluate made-{row}",
            tags={
                tags.STAGE: "evaluate",
                tags.TASK: task.name,
                tags.TASK_VERSION: task.version,
                tags.TASK_HASH: "made",
                tags.VARIANT: "",
                tags.BACKBONE: f"made-{row}",
                tags.CHECKPOINT: "default",
                tags.HEAD: task.head["kind"],
                tags.SEED: ",".join(map(str, SEEDS)),
                tags.PROTOCOL: protocol.hash,
                tags.COMPLETE: True,
            },
            params={f"task.{name}": value for name, value in protocol.fields.items()},
        ) as run:
            predictions = _predictions(y, rng, skill=1 + row / rows)
            estimates = summarise(predictions, task.metrics.report)
            for one in estimates:
                run.log_metrics({one.metric: one.value, f"{one.metric}_seed_std": one.seed_std})
                run.log_metrics({f"{one.metric}_low": one.low, f"{one.metric}_high": one.high})
            predictions.to_frame().to_parquet(run.artifact(PREDICTIONS))
            atomic.write_json(run.artifact(SUMMARY), _summary(protocol, estimates))


def _summary(protocol: Protocol, estimates: list[Estimate]) -> dict[str, object]:
    return {
        "missing": [],
        "protocol": dict(protocol.fields),
        "estimates": [asdict(estimate) for estimate in estimates],
        "guards": [],
        "cost": {},
        "lineage": {"train_runs": [uuid.uuid4().hex for _ in SEEDS], "extract_runs": []},
    }


def _predictions(y: NDArray[np.int64], rng: np.random.Generator, skill: float) -> Predictions:
    logits = rng.normal(size=(len(SEEDS), len(y), 4)) + skill * np.eye(4)[y]
    raised = np.exp(logits)
    group = np.array([f"g{i // EACH:02d}" for i in range(len(y))])
    return Predictions(
        sample_id=np.array([f"s{i:04d}" for i in range(len(y))]),
        group=group,
        fold=np.arange(len(y)) // EACH,
        y_true=y,
        probabilities=(raised / raised.sum(axis=2, keepdims=True)).astype(np.float32),
        seeds=SEEDS,
        classes=("a", "b", "c", "d"),
    )


def seed_train_runs(database: Path, count: int) -> None:
    """Copy the first run `count` times as train_fold runs of 10 metrics, straight into tables."""
    with sqlite3.connect(database) as store:
        template = pd.read_sql("SELECT * FROM runs LIMIT 1", store)
        runs = pd.concat([template] * count, ignore_index=True)
        runs["run_uuid"] = [uuid.uuid4().hex for _ in range(count)]
        runs["name"] = [f"train made seed {i}" for i in range(count)]
        runs["start_time"] = runs["start_time"] - np.arange(count)
        runs.to_sql("runs", store, if_exists="append", index=False)
        _append(store, "tags", runs["run_uuid"], _tags_of_a_train_run())
        _append_metrics(store, runs["run_uuid"])


def _tags_of_a_train_run() -> dict[str, str]:
    return {
        tags.STAGE: "train_fold",
        tags.TASK: EXPERIMENT,
        tags.BACKBONE: "made",
        tags.COMPLETE: "true",
        tags.RECORDED: "true",
        tags.SEED: "42",
        tags.FOLD: "0-9",
    }


def _append(
    store: sqlite3.Connection, table: str, ids: "pd.Series[str]", values: dict[str, str]
) -> None:
    rows = [(key, value, ident) for ident in ids for key, value in values.items()]
    store.executemany(f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", rows)


def _append_metrics(store: sqlite3.Connection, ids: "pd.Series[str]") -> None:
    rows = [(f"metric_{i}", i / 10, 0, 0, 0, ident) for ident in ids for i in range(10)]
    store.executemany(
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )


def _seconds(call: Callable[[], object]) -> float:
    """Of one call without the garbage collector, as `timeit` does it: it comes when it likes."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    finally:
        gc.enable()
