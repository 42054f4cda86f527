"""How much of a `train_fold fold=all` run of 44 folds goes into talking to MLflow (SQLite).

python benchmarks/run.py --only tracking [--small]
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from own_home import own_home

from backbench.features import Features
from backbench.heads import Unit
from backbench.pipeline.question import Question, resolve_task
from backbench.pipeline.study import Study
from backbench.pipeline.train_fold import record_units, train_units
from backbench.samples import ArraySource, Samples

OVERRIDES = ('folds.scheme="leave_one_group_out"', "expect={}", "seeds=[42]")


def measure(*, small: bool) -> dict[str, float]:
    """Seconds and share of the recording, beside the training it records."""
    groups, each, width = (6, 10, 32) if small else (44, 114, 1280)
    with own_home():
        study = made_study(groups, each, width)
        units = [Unit(fold, 42) for fold in study.plan.folds]
        record_units(study, list(train_units(study, units[:2])), given={})  # makes the database
        start = time.perf_counter()
        trained = list(train_units(study, units))
        middle = time.perf_counter()
        record_units(study, trained, given={})
        end = time.perf_counter()
    return {
        "tracking_share": (end - middle) / (end - start),
        "tracking_seconds": end - middle,
        "tracking_folds": float(groups),
    }


def made_study(groups: int, each: int, width: int) -> Study:
    """Gaussian features of ten classes in groups, as a study of the digits task's settings."""
    count = groups * each
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, count)
    X = (rng.normal(size=(count, width)) + rng.normal(size=(10, width))[y] / 4).astype(np.float32)
    ids = np.array([f"s{i:05d}" for i in range(count)])
    frame = pd.DataFrame({"sample_id": ids, "label": y.astype(str), "split": "", "path": ""})
    frame["group"] = [f"g{i // each:02d}" for i in range(count)]
    samples = Samples("made", frame, ArraySource(np.zeros((count, 1, 1), np.uint8)))
    task = resolve_task("digits", overrides=OVERRIDES)
    none = pd.DataFrame(columns=["sample_id", "path", "error"])
    features = Features(
        Path("made.h5"), "0" * 16, "0" * 16, ids, X, np.full(count, ""), {}, none, count, 0
    )
    return Study.of(Question("digits", task, task, samples), "made", "default", features)
