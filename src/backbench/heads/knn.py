"""Nearest neighbours by cosine: one pass over similarities for all folds and all k.

The k nearest training rows of a row vote for their classes with weight exp(cosine / T), as in
DINO's evaluation (Caron et al. 2021, after Wu et al. 2018), and

    p = (1 - s) * votes / sum(votes) + s / C,   logits = log p,

with a small share s, so that no probability is 0. Rows that tie with the k-th neighbour all vote:
copies of a picture cannot make the outcome depend on an order. Nothing is fitted but the rows
themselves: features are not standardised. What a unit keeps is all rows, the same array for all
units, and which of them are its own. Seeds play no part.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.files.arrays import Arrays
from backbench.folds import Fold
from backbench.heads.choose import first_best, score
from backbench.heads.matrix import train_mask
from backbench.heads.neighbours import BLOCK, Asked, Known, Rules, unit_rows
from backbench.heads.settings import KnnSettings
from backbench.heads.threads import each
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: KnnSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Find all neighbours in one pass, then choose k per fold; see `backbench.heads.train`."""
    rules = Rules(tuple(sorted(_ks(settings))), settings.temperature, settings.smoothing)
    folds = list({unit.fold.index: unit.fold for unit in units}.values())
    if len(rules.ks) > 1:
        need_validation(units, "k", "give one head.k")
    for fold in folds:
        if rules.ks[-1] > len(fold.train):
            raise HeadError(
                f"'head.k' is {rules.ks[-1]}, but fold {fold.name} trains on {len(fold.train)} "
                "rows; give a smaller k."
            )
    voters = np.ascontiguousarray(train_mask(len(problem.y), tuple(folds)).T)
    logits = _all_logits(problem, folds, voters, rules, means)
    shared: dict[str, NDArray[Any]] = {
        "vectors": problem.X,
        "labels": problem.y,
        "classes": np.array(problem.classes),
        "temperature": np.array(rules.temperature),
        "smoothing": np.array(rules.smoothing),
    }
    done: dict[int, tuple[Any, ...]] = {}  # what a `UnitResult` has after its unit
    for fold, own in zip(folds, voters, strict=True):
        val, test = logits[fold.index, "val"], logits[fold.index, "test"]
        best, history = _choose(val, problem.y[fold.val], settings.monitor, rules.ks)
        k = rules.ks[best]
        weights = shared | {"voters": own, "k": np.array(k)}
        done[fold.index] = (test[best], val[best], {"k": float(k)}, history, weights)
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    vectors, voters = weights["vectors"], weights["voters"]
    if X.ndim != 2 or X.shape[1] != vectors.shape[1]:
        raise HeadError(
            f"features of shape {X.shape} do not fit a head trained on {vectors.shape[1]} columns; "
            "use the features of the same backbone and checkpoint."
        )
    classes = int(weights["classes"])
    known = Known(vectors, weights["labels"], voters[None], classes)
    rules = Rules((int(weights["k"]),), float(weights["temperature"]), float(weights["smoothing"]))
    logits = np.empty((X.shape[0], classes), np.float32)
    for start in range(0, len(X), BLOCK):
        part = torch.from_numpy(unit_rows(X[start : start + BLOCK], range(start, len(X))))
        each_once, first = torch.arange(len(part)), torch.zeros(len(part), dtype=torch.int64)
        answer = known.logits(Asked(part, each_once, first), rules)
        logits[start : start + BLOCK] = answer[0].numpy()
    return logits


def _ks(settings: KnnSettings) -> tuple[int, ...]:
    return settings.k if isinstance(settings.k, tuple) else (settings.k,)


Logits = dict[tuple[int, str], NDArray[np.float32]]


def _all_logits(
    problem: Problem, folds: list[Fold], voters: NDArray[np.bool_], rules: Rules, means: Means
) -> Logits:
    """Logits `[K, n, C]` of each fold's test and validation rows, by (fold index, side)."""
    known = Known(
        problem.X,
        problem.y,
        voters,
        problem.classes,
        device=means.device,
        memory=means.memory // 4,
    )
    sides = [(slot, side) for slot in range(len(folds)) for side in ("val", "test")]
    rows = [getattr(folds[slot], side) for slot, side in sides]
    about = np.concatenate(rows)
    by = np.repeat([slot for slot, _ in sides], [len(of_side) for of_side in rows])
    out = np.empty((len(rules.ks), len(about), problem.classes), np.float32)
    in_order = np.argsort(about, kind="stable")  # what is asked about one row, at once
    size = max(64, min(BLOCK, len(about) // (4 * means.workers)))
    means.expect(len(about))

    def answer(start: int) -> None:
        part = in_order[start : start + size]
        unique, at = np.unique(about[part], return_inverse=True)
        told = (unit_rows(problem.X[unique], unique), at, by[part])
        asked = Asked(*(torch.from_numpy(array).to(means.device) for array in told))
        out[:, part] = known.logits(asked, rules).cpu().numpy()
        means.advance(len(part))

    each(answer, range(0, len(about), size), workers=means.workers)
    ends = np.cumsum([len(of_side) for of_side in rows])[:-1]
    of_sides = zip(sides, np.split(out, ends, axis=1), strict=True)
    return {(folds[slot].index, side): logits for (slot, side), logits in of_sides}


def _choose(
    val: NDArray[np.float32], y: NDArray[np.int64], monitor: str, ks: tuple[int, ...]
) -> tuple[int, dict[str, list[float]]]:
    """Which k is best on validation rows, the smallest of equals, and how each does."""
    if len(ks) == 1:
        return 0, {}
    scores = [score(monitor, logits, y) for logits in val]
    return first_best(scores), {"k": [float(k) for k in ks], f"val_{monitor}": scores}
