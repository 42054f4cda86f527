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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.folds import Fold
from backbench.heads.choose import first_best, score
from backbench.heads.settings import KnnSettings, values
from backbench.heads.unit import Floats, Problem, Progress, Unit, UnitResult, need_validation

_TIE = 1e-10
"""Cosines closer than this are equal: float64 rounding is a thousand times smaller."""

Ints = tuple[int, ...]


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: KnnSettings,
    *,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> list[UnitResult]:
    """Find all neighbours in one pass, then choose k per fold; see `backbench.heads.train`."""
    ks = tuple(int(k) for k in values(settings.k))
    folds = list({unit.fold.index: unit.fold for unit in units}.values())
    if len(ks) > 1:
        need_validation(units, "k", "give one head.k")
    for fold in folds:
        if max(ks) > len(fold.train):
            raise HeadError(
                f"'head.k' is {max(ks)}, but fold {fold.name} trains on {len(fold.train)} rows; "
                "give a smaller k."
            )
    logits = _all_logits(problem, folds, ks, settings, device, memory_budget, progress)
    done = {fold.index: _choose(problem, fold, ks, settings, logits) for fold in folds}
    return [_result(problem, unit, settings, *done[unit.fold.index]) for unit in units]


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
    k = (int(weights["k"]),)
    rules = float(weights["temperature"]), float(weights["smoothing"])
    for start in range(0, X.shape[0], 512):
        rows = slice(start, start + 512)
        cosines = _cosines(_unit(X[rows]), known)
        logits[rows] = _votes(cosines, labels, k, *rules)[0].numpy()
    return logits


def _all_logits(
    problem: Problem,
    folds: list[Fold],
    ks: Ints,
    settings: KnnSettings,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> dict[tuple[int, str], NDArray[np.float32]]:
    """Logits `[K, n, C]` of each fold's test and validation rows, by (fold index, side)."""
    n, C = len(problem.y), problem.classes
    labels = _one_hot(problem.y, C).to(device)
    sides = [(f, side) for f in folds for side in ("val", "test")]
    out = {
        (f.index, side): np.empty((len(ks), len(getattr(f, side)), C), np.float32)
        for f, side in sides
    }
    size = max(1, min(1024, memory_budget // (8 * 4 * n)))
    for start in range(0, n, size):
        stop = min(start + size, n)
        asked = [(f, side, *_span(getattr(f, side), start, stop)) for f, side in sides]
        asked = [item for item in asked if item[2] < item[3]]
        if asked:
            cosines = _cosines(_unit(problem.X[start:stop]), problem.X, device)
            for f, side, first, last in asked:
                rows = torch.from_numpy(getattr(f, side)[first:last] - start)
                known = torch.from_numpy(f.train).to(device)
                mine = cosines[rows.to(device)][:, known]
                votes = _votes(mine, labels[known], ks, settings.temperature, settings.smoothing)
                out[f.index, side][:, first:last] = votes.cpu().numpy()
        progress(stop, n)
    return out


def _span(rows: NDArray[np.int64], start: int, stop: int) -> tuple[int, int]:
    """Where the sorted `rows` are in [start, stop)."""
    first, last = np.searchsorted(rows, (start, stop))
    return int(first), int(last)


def _unit(X: Floats) -> NDArray[np.float64]:
    """Rows of length 1, float64; a row of zeros stays one, at cosine 0 to all."""
    rows = np.asarray(X, np.float64)
    if not np.isfinite(rows).all():
        raise HeadError("the features have NaN or infinite values; extract them again.")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(length > 0, length, 1)
    return unit


def _cosines(queries: NDArray[np.float64], X: Floats, device: str = "cpu") -> torch.Tensor:
    """Cosines `[n, N]` of unit rows with all rows of X, which is read block by block."""
    q = torch.from_numpy(queries).to(device)
    out = torch.empty((len(q), X.shape[0]), dtype=torch.float64, device=device)
    for start in range(0, X.shape[0], 4096):
        rows = slice(start, start + 4096)
        out[:, rows] = q @ torch.from_numpy(_unit(X[rows])).to(device).T
    return out


def _votes(
    cosines: torch.Tensor, labels: torch.Tensor, ks: Ints, temperature: float, smoothing: float
) -> torch.Tensor:
    """Logits `[K, n, C]` from cosines `[n, n_train]` and one-hot labels `[n_train, C]`."""
    top = torch.topk(cosines, max(ks), dim=1).values
    weight = torch.exp((cosines - top[:, :1]) / temperature)
    logits = []
    for k in ks:
        near = cosines >= top[:, k - 1 : k] - _TIE
        votes = (weight * near) @ labels
        share = votes / votes.sum(1, keepdim=True)
        logits.append(torch.log((1 - smoothing) * share + smoothing / labels.shape[1]))
    return torch.stack(logits)


def _one_hot(y: NDArray[np.int64], classes: int) -> torch.Tensor:
    return torch.eye(classes, dtype=torch.float64)[torch.from_numpy(np.asarray(y, np.int64))]


def _choose(
    problem: Problem,
    fold: Fold,
    ks: Ints,
    settings: KnnSettings,
    logits: dict[tuple[int, str], NDArray[np.float32]],
) -> tuple[int, dict[str, list[float]], NDArray[np.float32], NDArray[np.float32]]:
    """(k, history, test logits, validation logits) of a fold; the smallest k wins a tie."""
    val, test = logits[fold.index, "val"], logits[fold.index, "test"]
    if len(ks) == 1:
        return ks[0], {}, test[0], val[0]
    scores = [score(settings.monitor, candidate, problem.y[fold.val]) for candidate in val]
    order = sorted(range(len(ks)), key=lambda i: ks[i])
    best = order[first_best([scores[i] for i in order])]
    history = {"k": [float(k) for k in ks], f"val_{settings.monitor}": scores}
    return ks[best], history, test[best], val[best]


def _result(
    problem: Problem,
    unit: Unit,
    settings: KnnSettings,
    k: int,
    history: dict[str, list[float]],
    logits: NDArray[np.float32],
    val_logits: NDArray[np.float32],
) -> UnitResult:
    rows = unit.fold.train
    weights = {
        "vectors": np.asarray(problem.X[rows], np.float32),
        "labels": problem.y[rows],
        "k": np.array(k),
        "classes": np.array(problem.classes),
        "temperature": np.array(settings.temperature),
        "smoothing": np.array(settings.smoothing),
    }
    return UnitResult(unit, logits, val_logits, {"k": float(k)}, history, weights)
