"""Entries with known truth: how good a row is, is chosen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backbench.leaderboard import Entry
from backbench.metrics import Predictions
from backbench.tasks import MetricSettings, Protocol, Task

CLASSES = ("healthy", "mild", "severe", '<b>&"dead"</b>')
FIELDS = {
    "name": '"plants"',
    "version": "1",
    "head.kind": '"linear"',
    "head.lr": "0.001",
    "permute_labels": "false",
}


def make_predictions(
    skill: float = 2.0,
    *,
    seed: int = 1,
    groups: int = 44,
    each: int = 6,
    seeds: tuple[int, ...] = (42, 123, 456),
    classes: tuple[str, ...] = CLASSES,
) -> Predictions:
    """Rows that share their samples; `skill` is how far the true class stands out of the noise."""
    truth = np.random.default_rng(0)
    count = groups * each
    y = truth.integers(0, len(classes), count)
    shared = truth.normal(size=(count, len(classes)))
    own = np.random.default_rng(seed)
    logits = np.stack([shared + 0.7 * own.normal(size=shared.shape) for _ in seeds])
    logits[:, np.arange(count), y] += skill
    p = np.exp(logits)
    ids = np.array([f"s{i:04d}" for i in range(count)])
    group = np.array([f"g{i // each:02d}" for i in range(count)])
    return Predictions(
        ids, group, np.arange(count) // each, y, p / p.sum(axis=2, keepdims=True), seeds, classes
    )


def make_entry(name: str = "clip", skill: float = 2.0, **changes: Any) -> Entry:
    """A complete entry whose noise depends on its name."""
    seed = changes.pop("noise", sum(map(ord, name)))
    fields = FIELDS | changes.pop("fields", {})
    made = {
        "run_id": f"{seed:08x}{'0' * 24}",
        "name": name,
        "backbone": name,
        "checkpoint": "default",
        "head": "linear",
        "variant": "",
        "seeds": (42, 123, 456),
        "complete": True,
        "missing": (),
        "protocol": Protocol(fields),
        "predictions": make_predictions(skill, seed=seed),
        "cost": {
            "parameters": 1e6 * (1 + seed % 90),
            "dim": 256.0 * (1 + seed % 4),
            "images_per_second": 900 / (1 + seed % 7),
            "train_seconds": 2.0 + seed % 5,
        },
        "lineage": {
            "train_runs": ["a" * 32, "b" * 32],
            "extract_runs": ["c" * 32],
            "features": "0123456789abcdef",
            "weights": "d" * 64,
            "representation": {"tokens": "cls", "layer": "last", "projected": False},
            "licence": "Apache-2.0",
            "links": {"a" * 32: "http://127.0.0.1:5000/#/experiments/1/runs/" + "a" * 32},
        },
        "link": f"http://127.0.0.1:5000/#/experiments/1/runs/{seed:08x}",
    }
    return Entry(**{**made, **changes})


def make_task(**changes: Any) -> Task:
    """A task of four classes, ranked by balanced accuracy."""
    settings = {"name": "plants", "version": 1, "samples": "plants.csv", "seeds": (42, 123, 456)}
    return Task(**{**settings, "metrics": MetricSettings(rope=0.005), **changes})


@pytest.fixture(scope="session")
def entry() -> Callable[..., Entry]:
    return make_entry


@pytest.fixture(scope="session")
def predictions() -> Callable[..., Predictions]:
    return make_predictions


@pytest.fixture(scope="session")
def task() -> Callable[..., Task]:
    return make_task


@pytest.fixture
def entries() -> list[Entry]:
    """One clear leader's tie, a middle, and a floor."""
    skills = {"dinov2": 2.6, "clip": 2.55, "bioclip": 2.5, "pixels": 1.2, "untrained": 0.6}
    return [make_entry(name, skill) for name, skill in skills.items()]
