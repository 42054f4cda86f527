"""Nearest neighbours by cosine: one similarity matrix for all folds and all k.

The k nearest training rows of a row vote for their classes with weight exp(cosine / T), as in
DINO's evaluation (Caron et al. 2021, after Wu et al. 2018), and

    p = (1 - s) * votes / sum(votes) + s / C,   logits = log p,

with a small share s, so that no probability is 0. Rows that tie with the k-th neighbour all vote:
copies of a picture cannot make the outcome depend on an order. Nothing is fitted but the rows
themselves: features are not standardised. Similarities are float64, so that a row's neighbours do
not depend on how many other rows were asked about. Seeds play no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.folds import Fold
from backbench.heads.choose import first_best, score
from backbench.heads.settings import KnnSettings
from backbench.heads.threads import each
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation

_TIE = 1e-10
"""Cosines closer than this are equal: float64 rounding is a thousand times smaller."""

_SPARE = 16
"""Neighbours looked at beyond the largest k, to see ties."""


@dataclass(frozen=True)
class _Rules:
    """How neighbours vote; `ks` ascending."""

    ks: tuple[int, ...]
    temperature: float
    smoothing: float


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: KnnSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Find all neighbours in one pass, then choose k per fold; see `backbench.heads.train`."""
    rules = _Rules(tuple(sorted(_ks(settings))), settings.temperature, settings.smoothing)
    folds = list({unit.fold.index: unit.fold for unit in units}.values())
    if len(rules.ks) > 1:
        need_validation(units, "k", "give one head.k")
    for fold in folds:
        if rules.ks[-1] > len(fold.train):
            raise HeadError(
                f"'head.k' is {rules.ks[-1]}, but fold {fold.name} trains on {len(fold.train)} "
                "rows; give a smaller k."
            )
    logits = _all_logits(problem, folds, rules, means)
    done = {fold.index: _result(problem, fold, settings, rules, logits) for fold in folds}
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    known = weights["vectors"]
    if X.ndim != 2 or X.shape[1] != known.shape[1]:
        raise HeadError(
            f"features of shape {X.shape} do not fit a head trained on {known.shape[1]} columns; "
            "use the features of the same backbone and checkpoint."
        )
    labels = _one_hot(weights["labels"], int(weights["classes"]))
    logits = np.empty((X.shape[0], labels.shape[1]), np.float32)
    rules = _Rules((int(weights["k"]),), float(weights["temperature"]), float(weights["smoothing"]))
    for start in range(0, X.shape[0], 512):
        rows = slice(start, start + 512)
        logits[rows] = _votes(_cosines(_unit(X[rows]), known), labels, rules)[0].numpy()
    return logits


def _ks(settings: KnnSettings) -> tuple[int, ...]:
    return settings.k if isinstance(settings.k, tuple) else (settings.k,)


Logits = dict[tuple[int, str], NDArray[np.float32]]


def _all_logits(problem: Problem, folds: list[Fold], rules: _Rules, means: Means) -> Logits:
    """Logits `[K, n, C]` of each fold's test and validation rows, by (fold index, side)."""
    n, C = len(problem.y), problem.classes
    labels = _one_hot(problem.y, C).to(means.device)
    sides = [(fold, "val", fold.val) for fold in folds] + [(f, "test", f.test) for f in folds]
    out = {
        (f.index, side): np.empty((len(rules.ks), len(r), C), np.float32) for f, side, r in sides
    }
    size = max(1, min(512, means.memory // (8 * 8 * n * means.workers)))
    fits = 8 * problem.X.size <= means.memory // 4
    known = _unit(problem.X) if fits else problem.X
    means.expect(n)

    def vote(start: int) -> None:
        stop = min(start + size, n)
        asked = [(fold, side, rows, _span(rows, start, stop)) for fold, side, rows in sides]
        asked = [item for item in asked if item[3].start < item[3].stop]
        if asked:
            cosines = _cosines(_unit(problem.X[start:stop]), known, means.device, unit=fits)
        for fold, side, rows, span in asked:
            trained = torch.from_numpy(fold.train).to(means.device)
            at = torch.from_numpy(rows[span] - start).to(means.device)
            votes = _votes(cosines[at].index_select(1, trained), labels[trained], rules)
            out[fold.index, side][:, span] = votes.cpu().numpy()
        means.advance(stop - start)

    each(vote, range(0, n, size), workers=means.workers)
    return out


def _span(rows: NDArray[np.int64], start: int, stop: int) -> slice:
    """Where the sorted `rows` are in [start, stop)."""
    return slice(*np.searchsorted(rows, (start, stop)))


def _unit(X: Floats) -> NDArray[np.float64]:
    """Rows of length 1, float64; a row of zeros stays one, at cosine 0 to all."""
    rows = np.asarray(X, np.float64)
    if not np.isfinite(rows).all():
        raise HeadError("the features have NaN or infinite values; extract them again.")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit


def _cosines(
    queries: NDArray[np.float64], X: Floats, device: str = "cpu", *, unit: bool = False
) -> torch.Tensor:
    """Cosines `[n, N]` of unit rows with all rows of X (`unit`: of length 1), block by block."""
    q = torch.from_numpy(queries).to(device)
    out = torch.empty((len(q), X.shape[0]), dtype=torch.float64, device=device)
    for start in range(0, X.shape[0], 1024):
        rows = slice(start, start + 1024)
        block = X[rows] if unit else _unit(X[rows])
        out[:, rows] = q @ torch.from_numpy(block).to(device).T
    return out


def _votes(cosines: torch.Tensor, labels: torch.Tensor, rules: _Rules) -> torch.Tensor:
    """Logits `[K, n, C]` from cosines `[n, n_train]` and one-hot labels `[n_train, C]`."""
    most, all_of_them = rules.ks[-1], cosines.shape[1]
    seen = min(most + _SPARE, all_of_them)
    near, who = torch.topk(cosines, seen, dim=1)
    if seen < all_of_them and (near[:, -1] >= near[:, most - 1] - _TIE).any():
        near, who = torch.topk(cosines, all_of_them, dim=1)
    weight, label = torch.exp((near - near[:, :1]) / rules.temperature), labels[who]
    logits = []
    for k in rules.ks:
        voting = near >= near[:, k - 1 : k] - _TIE
        votes = torch.einsum("nk,nkc->nc", weight * voting, label)
        share = votes / votes.sum(1, keepdim=True)
        logits.append(torch.log((1 - rules.smoothing) * share + rules.smoothing / labels.shape[1]))
    return torch.stack(logits)


def _one_hot(y: NDArray[np.int64], classes: int) -> torch.Tensor:
    return torch.eye(classes, dtype=torch.float64)[torch.from_numpy(np.asarray(y, np.int64))]


def _result(
    problem: Problem, fold: Fold, settings: KnnSettings, rules: _Rules, logits: Logits
) -> tuple[Any, ...]:
    """What a `UnitResult` has after its unit; the smallest k wins a tie."""
    val, test = logits[fold.index, "val"], logits[fold.index, "test"]
    scores = [0.0]
    if len(rules.ks) > 1:
        scores = [score(settings.monitor, z, problem.y[fold.val]) for z in val]
    best = first_best(scores)
    weights: dict[str, NDArray[Any]] = {
        "vectors": np.asarray(problem.X[fold.train], np.float32),
        "labels": problem.y[fold.train],
        "k": np.array(rules.ks[best]),
        "classes": np.array(problem.classes),
        "temperature": np.array(rules.temperature),
        "smoothing": np.array(rules.smoothing),
    }
    history = {"k": [float(k) for k in rules.ks], f"val_{settings.monitor}": scores}
    chosen = {"k": float(rules.ks[best])}
    return test[best], val[best], chosen, history if len(scores) > 1 else {}, weights
