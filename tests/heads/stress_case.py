"""Small plants watched over time, with gaps, and the folds over their accessions."""

import importlib.util
from pathlib import Path

import numpy as np

from backbench.folds import Fold
from backbench.heads import Problem, Unit
from backbench.samples.series import ABSENT, Channel, Series

QUICK = {
    "kind": "stress",
    "width": 16,
    "lr": 0.01,
    "epochs": 4,
    "warmup_epochs": 1,
    "patience": 3,
    "batch_size": 8,
}
WIDTHS = {"image": 12, "fluor": 7, "env": 3, "vi": 4}
STEPS, VIEWS = 8, 3


def make_plants(*, accessions=8, plants=4, seed=0):
    """Half of the plants are stressed from a day of their accession on; every array has gaps."""
    rng = np.random.default_rng(seed)
    n = accessions * plants
    accession, stressed = np.arange(n) // plants, np.arange(n) % 2
    day = np.append(np.linspace(4, 30, STEPS - 1), 30.0)
    onset = np.where(stressed, rng.uniform(8, 20, accessions)[accession], np.nan)
    y = (day >= onset[:, None]).astype(np.int64)
    imaged, fluored = rng.random((n, STEPS)) < 0.5, rng.random((n, STEPS)) < 0.3
    imaged[:, 2], fluored[:, 2], imaged[:, 5] = True, True, False
    there = imaged[..., None] & (rng.random((n, STEPS, VIEWS)) < 0.8)
    there[..., 0] = imaged
    picture = np.full(there.shape, ABSENT)
    picture[there] = rng.permutation(there.sum())
    which = np.nonzero(there)
    X = np.empty((there.sum(), WIDTHS["image"]), np.float32)
    X[picture[there]] = 2 * y[which[0], which[1], None] + rng.normal(size=X.shape)
    everywhere = np.ones((n, STEPS), bool)
    channels = {
        name: _channel(rng, y, WIDTHS[name], where)
        for name, where in (("fluor", fluored), ("env", everywhere), ("vi", everywhere))
    }
    steps, views = (tuple(f"{k}{i}" for i in range(m)) for k, m in (("r", STEPS), ("v", VIEWS)))
    scored = there.any(2) | fluored
    series = Series(steps, day, y, scored, onset, channels, views, None, picture)
    folds = tuple(_fold(i, accession, accessions) for i in range(accessions))
    return Problem(X, stressed, 2, accessions, series), folds


def _channel(rng, y, width, observed):
    values = rng.normal(size=(*y.shape, width)) + y[..., None]
    values = values * rng.uniform(0.1, 20, width) + rng.normal(size=width) * 30
    values[..., 0] = 3.0
    values[rng.random(values.shape) < 0.05] = np.nan
    values[~observed] = np.nan
    return Channel(values.astype(np.float32), observed)


def _fold(i, accession, accessions):
    test, val = accession == i, accession == (i + 1) % accessions
    return Fold(i, f"a{i}", *(np.flatnonzero(rows) for rows in (~test & ~val, val, test)))


def units(folds, *seeds):
    return [Unit(fold, seed) for seed in seeds or (0,) for fold in folds]


def plain():
    """The network as one writes it, from the benchmarks."""
    path = Path(__file__).parents[2] / "benchmarks" / "plain_stress.py"
    spec = importlib.util.spec_from_file_location("plain_stress", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
