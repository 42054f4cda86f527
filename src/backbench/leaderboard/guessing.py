"""What guessing scores: the level that a row has to beat to have seen anything."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backbench.metrics import Metric, Predictions
from backbench.metrics.evidence import Evidence, ratio

Floats = NDArray[np.float64]
_DRAWS = 20
# Guessing by class frequencies is perfectly calibrated: calibration has no chance level.
_NO_CHANCE = ("ece", "ece_fold_mean")


def chance(metric: Metric, predictions: Predictions, *, seed: int = 0) -> float:
    """What somebody scores who never saw a sample, or NaN where the metric is undefined for it.

    The better of two guessers: one who answers the frequencies of the classes for everybody, and
    one who draws each answer by those frequencies (mean over 20 draws). Of series a guesser knows
    the day, and its frequencies are those of the day; with two classes there is one guesser more
    for each day, who says the second class from that day on.

    Args:
        metric: whose chance level it is.
        predictions: any row's, for its labels, folds and groups; the probabilities are not used.
        seed: of the draws.
    """
    if metric.name in _NO_CHANCE:
        return float("nan")
    values = [_score(metric, predictions, guess) for guess in _guesses(predictions, seed)]
    found = [value for value in values if np.isfinite(value)]
    best = max if metric.higher_is_better else min
    return float(best(found)) if found else float("nan")


def _guesses(predictions: Predictions, seed: int) -> Iterator[Floats]:
    """Probabilities `[S, N, C]` of each guesser."""
    classes, time = len(predictions.classes), predictions.timeline
    days = np.zeros(len(predictions)) if time is None else time.day
    known, day = np.unique(days, return_inverse=True)
    counted = slice(None) if time is None else time.scored
    cell = day[counted] * classes + predictions.y_true[counted]
    counts = np.bincount(cell, minlength=len(known) * classes).reshape(-1, classes)
    shares = np.nan_to_num(ratio(counts, counts.sum(axis=1, keepdims=True)), nan=1 / classes)[day]
    yield shares[None]
    drawn = np.random.default_rng(seed).random((_DRAWS, len(day), 1))
    yield np.eye(classes)[(drawn > shares.cumsum(axis=1)[:, :-1]).sum(axis=2)]
    if time is not None and classes == 2:
        yield from (np.eye(2)[(days >= first).astype(np.int64)][None] for first in known)


def _score(metric: Metric, predictions: Predictions, guess: Floats) -> float:
    seeds = tuple(range(len(guess)))
    guessed = replace(predictions, probabilities=guess.astype(np.float32), seeds=seeds)
    evidence = Evidence.of(guessed)
    return float(metric.kernel(evidence)(np.ones((1, evidence.cells)))[0])
