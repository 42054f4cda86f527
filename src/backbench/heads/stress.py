"""The `stress` head: a transformer over pictures and measurements of samples watched over time.

A unit is one small network, and a step of it keeps a core busy, so units train side by side, a
core each, and none knows of the others: a unit trained alone gets the very same numbers. Another
device trains many of them as one computation.
"""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backbench.errors import HeadError, unknown
from backbench.files.arrays import Arrays
from backbench.heads.settings import StressSettings
from backbench.heads.stress_batched import train_batched
from backbench.heads.stress_data import Course, check_pictures
from backbench.heads.stress_network import IMAGE
from backbench.heads.stress_unit import predict_rows, train_unit
from backbench.heads.stress_workers import train_apart
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation
from backbench.samples.series import Series
from backbench.tasks.strict import build

_WORKER = 128 << 20
"""Half of the bytes that a worker takes in training, beside the features, Python and torch."""


def train(
    problem: Problem, units: Sequence[Unit], settings: StressSettings, *, means: Means
) -> list[UnitResult]:
    """Train all units; see `backbench.heads.train`."""
    if settings.patience:
        need_validation(units, "the epoch", "head.patience = 0")
    course = _course(problem, settings)
    means.expect(len(units) * settings.epochs)
    if means.device != "cpu":
        return train_batched(course, units, means)
    workers = min(means.at_once(_WORKER), len(units))
    if workers == 1:
        return [train_unit(course, unit, means.advance) for unit in units]
    return train_apart(course, units, means, workers)


def predict(weights: Arrays, X: Floats, series: Series) -> NDArray[np.float32]:
    """Logits `[N * T, 2]` of every step, fp32; see `backbench.heads.predict`."""
    settings = build(StressSettings, json.loads(weights["settings"].tobytes()), "head.")
    _check_modalities(settings, series)
    course = Course.of(X, series, settings)
    for name, width in course.widths.items():
        _check_width(name, width, weights)
    return predict_rows(weights, course, np.arange(len(series)))


def _course(problem: Problem, settings: StressSettings) -> Course:
    """What all units share.

    Raises:
        HeadError: not two classes, a modality that is not there, or features that are not finite.
    """
    assert problem.series is not None  # `train` of the table saw to it
    if problem.classes != 2:
        raise HeadError(f"the stress head tells 2 classes apart, not {problem.classes}.")
    _check_modalities(settings, problem.series)
    if IMAGE in settings.modalities:
        check_pictures(problem.X, problem.series.picture)
    return Course.of(problem.X, problem.series, settings)


def _check_modalities(settings: StressSettings, series: Series) -> None:
    for name in (*settings.modalities, *settings.sparse):
        if name != IMAGE and name not in series.channels:
            raise HeadError(unknown("modality", name, [IMAGE, *series.channels]))


def _check_width(name: str, width: int, weights: Arrays) -> None:
    trained = weights.get(f"project.{name}.first.weight")
    if trained is not None and trained.shape[1] != width:
        raise HeadError(
            f"features of {width} columns do not fit a head trained on {trained.shape[1]} columns "
            f"of '{name}'; use the features of the same backbone and checkpoint."
        )
