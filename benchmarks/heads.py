"""Heads trained in one pass against the loops that people write, on the same folds.

Every ratio is of two things timed in this process, one after the other, but for one process per
fold, which is timed as real processes. Where a loop would take minutes, some of its folds are timed
and scaled to all of them; the table says how many. Beside each ratio stands what makes the two
comparable: the largest difference of any probability, or of the objective.

    python benchmarks/run.py --only heads [--small]
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backbench.folds import Fold
from backbench.heads import Problem, Unit, UnitResult, train

if TYPE_CHECKING:  # a process that is timed imports torch where it needs it
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]
    Batches = Callable[[torch.Tensor, torch.Tensor], Iterator[Pair]]

EPOCHS, BATCH = 20, 64
Made = TypeVar("Made")
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Study:
    """The size of the study, and how many folds of each slow loop are timed."""

    n: int
    d: int
    classes: int
    groups: int
    seeds: tuple[int, ...]
    timed: int
    lambdas: int

    def problem(self) -> tuple[Problem, tuple[Fold, ...]]:
        """Features with the decaying spectrum of a backbone's, and leave-one-group-out folds."""
        return make(self.n, self.d, self.classes, self.groups)


FULL = Study(5000, 1280, 10, 44, (42, 123, 456), 4, 20)
SMALL = Study(240, 32, 4, 6, (42, 123), 2, 5)


def make(
    n: int, d: int, classes: int, groups: int, seed: int = 0
) -> tuple[Problem, tuple[Fold, ...]]:
    """Classes and groups as clouds in a space whose variances fall as 1 / rank."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    group = rng.permutation(np.arange(n) % groups)
    spread = 1 / np.sqrt(1 + np.arange(d))
    centres = rng.normal(size=(classes, d)) * spread * (np.arange(d) < 16)
    effects = rng.normal(size=(groups, d)) * spread * 0.3
    latent = centres[y] + effects[group] + rng.normal(size=(n, d)) * spread
    mixing = np.linalg.qr(rng.normal(size=(d, d)))[0]
    X = (latent @ mixing) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    folds = tuple(leave_out(group, index, groups) for index in range(groups))
    return Problem(X.astype(np.float32), y, classes, groups), folds


def leave_out(group: NDArray[np.int64], index: int, groups: int) -> Fold:
    """The fold that tests a group and validates on the next."""
    test, val = group == index, group == (index + 1) % groups
    rows = (np.flatnonzero(side) for side in (~test & ~val, val, test))
    return Fold(index, str(index), *rows)


def measure(*, small: bool) -> dict[str, float]:
    """All ratios of heads, and what they rest on."""
    study = SMALL if small else FULL
    problem, folds = study.problem()
    found: dict[str, float] = {}
    for part in (_linear, _logreg, _ridge, _knn):
        for name, value in part(study, problem, folds):
            found[name] = value
            print(f"{name:40} {value:.4g}", flush=True)
    return found


Found = Iterator[tuple[str, float]]


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What `work` gives, and the seconds that it takes."""
    start = perf_counter()
    made = work()
    return made, perf_counter() - start


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    return timed(work)[1]


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Probabilities `[n, C]`."""
    z = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    shares: NDArray[np.float64] = z / z.sum(1, keepdims=True)
    return shares


# --- linear --------------------------------------------------------------------------------------


def _linear(study: Study, problem: Problem, folds: tuple[Fold, ...]) -> Found:
    """Every epoch of every unit in both, each scored on its validation rows; equal schedules."""
    table = {"kind": "linear", "epochs": EPOCHS, "batch_size": BATCH, "patience": 0}
    units = [Unit(fold, seed) for seed in study.seeds for fold in folds]
    for precision in ("fp32", "bf16"):  # warm up
        train(table | {"epochs": 2, "precision": precision}, problem, units[:1])
    results, ours = timed(lambda: train(table, problem, units))
    scaled, some = len(units) / study.timed, folds[: study.timed]
    _torch_loop(problem, some[:1], _slices)  # warm up
    tight = scaled * clock(lambda: _torch_loop(problem, some, _slices))
    accuracies, seconds = timed(lambda: _torch_loop(problem, some, _loader))
    loader = scaled * seconds
    process = scaled * processes(problem, some)
    alone = train(table, problem, units[-1:])[0]
    yield "linear_seconds", ours
    yield "linear_vs_loop", loader / ours
    yield "linear_vs_tight_loop", tight / ours
    yield "linear_vs_process_per_fold", process / ours
    yield "linear_loop_folds_timed", study.timed
    difference = np.abs(softmax(alone.logits) - softmax(results[-1].logits)).max()
    yield "linear_alone_vs_all_difference", float(difference)
    same = results[: study.timed]
    right = [(r.logits.argmax(1) == problem.y[r.unit.fold.test]).mean() for r in same]
    yield "linear_accuracy", float(np.mean(right))
    yield "linear_loop_accuracy", float(np.mean(accuracies))
    table["precision"] = "bf16"
    rounded, seconds = timed(lambda: train(table, problem, units))
    yield "linear_bf16_vs_loop", loader / seconds
    yield "linear_bf16_vs_process_per_fold", process / seconds
    pairs = list(zip(results, rounded, strict=True))
    apart = [np.abs(softmax(a.logits) - softmax(b.logits)).mean() for a, b in pairs]
    other = [np.abs(softmax(a.logits) - softmax(b.logits)).mean() for a, b in _other_seed(results)]
    yield "linear_bf16_difference_of_a_seeds", float(np.mean(apart) / np.mean(other))
    changed = [(a.logits.argmax(1) != b.logits.argmax(1)).mean() for a, b in pairs]
    yield "linear_bf16_predictions_changed", float(np.mean(changed))


def _other_seed(results: list[UnitResult]) -> Iterator[tuple[UnitResult, UnitResult]]:
    """The same fold by the first seed and by the second."""
    first, second, *_ = sorted({result.unit.seed for result in results})
    by_unit = {(r.unit.seed, r.unit.fold.index): r for r in results}
    for index in {result.unit.fold.index for result in results}:
        yield by_unit[first, index], by_unit[second, index]


def _torch_loop(problem: Problem, folds: tuple[Fold, ...], batches: "Batches") -> list[float]:
    """What one writes: a model a fold, AdamW, warm-up and cosine by step."""
    return [fit_torch(problem, fold, batches) for fold in folds]


def fit_torch(problem: Problem, fold: Fold, batches: "Batches") -> float:
    """One fold by plain torch, scored on its validation rows each epoch; its test accuracy."""
    import torch

    torch.manual_seed(fold.index)
    rows = problem.X[fold.train]
    mean, std = rows.mean(0), rows.std(0) + 1e-8
    (X, y), val, test = (
        (torch.from_numpy((problem.X[rows] - mean) / std), torch.from_numpy(problem.y[rows]))
        for rows in (fold.train, fold.val, fold.test)
    )
    model = torch.nn.Linear(X.shape[1], problem.classes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    steps = -(-len(X) // BATCH)
    warm = 2 * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: (
            (s + 1) / (warm + 1)
            if s < warm
            else 0.5 * (1 + np.cos(np.pi * (s - warm) / max(1, EPOCHS * steps - warm)))
        ),
    )
    for _ in range(EPOCHS):
        for x, t in batches(X, y):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), t)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        score_torch(model, val, batches)
    return score_torch(model, test, batches)


def score_torch(model: "torch.nn.Module", rows: "Pair", batches: "Batches") -> float:
    """Accuracy, by the same kind of loop."""
    import torch

    right = 0
    with torch.inference_mode():
        for x, t in batches(*rows):
            right += int((model(x).argmax(1) == t).sum())
    return right / len(rows[1])


def _slices(X: "torch.Tensor", y: "torch.Tensor") -> "Iterator[Pair]":
    """The fast way: index two tensors."""
    import torch

    for rows in torch.split(torch.randperm(len(X)), BATCH):
        yield X[rows], y[rows]


def _loader(X: "torch.Tensor", y: "torch.Tensor") -> "Iterator[Pair]":
    """The usual way: a DataLoader over a TensorDataset."""
    from torch.utils.data import DataLoader, TensorDataset

    yield from DataLoader(TensorDataset(X, y), batch_size=BATCH, shuffle=True)


def processes(problem: Problem, folds: tuple[Fold, ...]) -> float:
    """Seconds for a process a fold: start, imports, reading the features, the usual loop."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.npz"
        np.savez(path, X=problem.X, y=problem.y, classes=problem.classes)
        for fold in folds:
            rows = {side: getattr(fold, side) for side in ("train", "val", "test")}
            np.savez(Path(folder) / f"{fold.index}.npz", **rows)
        commands = [
            [sys.executable, __file__, str(Path(folder) / f"{fold.index}.npz"), str(path)]
            for fold in folds
        ]
        return clock(lambda: [subprocess.run(c, check=True) for c in commands])


def _one_fold(fold: str, study: str) -> None:
    """What each of those processes does."""
    rows, data = np.load(fold), np.load(study)
    problem = Problem(data["X"], data["y"], int(data["classes"]))
    fit_torch(problem, Fold(0, "0", rows["train"], rows["val"], rows["test"]), _loader)


# --- logreg --------------------------------------------------------------------------------------


def _logreg(study: Study, problem: Problem, folds: tuple[Fold, ...]) -> Found:
    """scikit-learn with its own tolerance, on standardised float32 features, as stored."""
    units = [Unit(fold, 0) for fold in folds]
    seconds = {}
    for C in (1.0, 0.01):
        table = {"kind": "logreg", "C": C}
        results, seconds[C] = timed(partial(train, table, problem, units))
        theirs, excess = _sklearn(problem, folds[: study.timed], C, results, tol=1e-4)
        yield f"logreg_seconds_C{C:g}", seconds[C]
        yield _key(C), theirs * len(folds) / study.timed / seconds[C]
        # Negative: ours is lower.
        yield f"logreg_objective_less_sklearn_C{C:g}", excess
        if C == 1.0 and len(problem.y) > 1000:
            theirs, excess = _sklearn(problem, folds[:1], C, results, tol=1e-6)
            yield "logreg_vs_sklearn_tol1e-6_C1", theirs * len(folds) / seconds[C]
            yield "logreg_objective_less_sklearn_tol1e-6_C1", excess
    grid = {"kind": "logreg", "C": np.logspace(-4, 0.5, 10).tolist()}
    yield "logreg_grid10_vs_one", clock(lambda: train(grid, problem, units)) / seconds[1.0]
    yield "logreg_loop_folds_timed", study.timed


def _key(C: float) -> str:
    return "logreg_vs_sklearn" if C == 1 else f"logreg_vs_sklearn_C{C:g}"


def _sklearn(
    problem: Problem, folds: tuple[Fold, ...], C: float, results: list[UnitResult], *, tol: float
) -> tuple[float, float]:
    """Seconds of scikit-learn's fits, and how far our objective is above theirs, as a share."""
    from sklearn.linear_model import LogisticRegression

    took, excess = 0.0, []
    for fold, result in zip(folds, results, strict=False):
        weights, y = result.weights, problem.y[fold.train]
        Z = (problem.X[fold.train] - weights["mean"]) * weights["scale"]
        model = LogisticRegression(C=C, tol=tol, max_iter=10_000)
        took += clock(partial(model.fit, Z.astype(np.float32), y))
        coefficients = model.coef_.T.astype(np.float64)
        best = objective(Z, y, coefficients, model.intercept_, C)
        excess.append(objective(Z, y, weights["weight"], weights["bias"], C) / best - 1)
    return took, float(np.max(excess))


def objective(
    Z: Floats,
    y: NDArray[np.int64],
    W: Floats,
    b: Floats,
    C: float,
) -> float:
    """The objective of logistic regression, float64."""
    z = Z @ W.astype(np.float64) + b
    z = z - z.max(1, keepdims=True)
    loss = np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]
    return float(loss.sum() + (W.astype(np.float64) ** 2).sum() / (2 * C))


# --- ridge and knn -------------------------------------------------------------------------------


def _ridge(study: Study, problem: Problem, folds: tuple[Fold, ...]) -> Found:
    """Against scikit-learn's Ridge, refitted for every fold and penalty in float64."""
    from sklearn.linear_model import Ridge

    lambdas = np.logspace(-1, 5, study.lambdas).tolist()
    units = [Unit(fold, 0) for fold in folds]
    table = {"kind": "ridge", "lambdas": lambdas}
    results, ours = timed(lambda: train(table, problem, units))
    weights, fold = results[0].weights, folds[0]
    Z = (problem.X[fold.train] - weights["mean"]) * weights["scale"]
    Y = 2 * np.eye(problem.classes)[problem.y[fold.train]] - 1
    refits = [Ridge(alpha=penalty) for penalty in lambdas]
    theirs = clock(lambda: [model.fit(Z, Y) for model in refits])
    model = refits[lambdas.index(results[0].chosen["lambda"])]
    difference = np.abs(model.coef_.T - weights["weight"] / results[0].chosen["factor"]).max()
    yield "ridge_seconds", ours
    yield "ridge_vs_refits", theirs * len(folds) / ours
    yield "ridge_loop_folds_timed", 1
    yield "ridge_weight_difference", float(difference / np.abs(model.coef_).max())


def _knn(study: Study, problem: Problem, folds: tuple[Fold, ...]) -> Found:
    """Against scikit-learn's classifier, fitted and asked for every fold and k."""
    from sklearn.neighbors import KNeighborsClassifier

    ks = [5, 10, 20, 50] if study.n > 1000 else [3, 5]
    units = [Unit(fold, 0) for fold in folds]
    ours = clock(lambda: train({"kind": "knn", "k": ks}, problem, units))

    def loop() -> None:
        for fold in folds[: study.timed]:
            for k in ks:
                model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
                model.fit(problem.X[fold.train], problem.y[fold.train])
                model.predict_proba(problem.X[np.concatenate([fold.val, fold.test])])

    yield "knn_seconds", ours
    yield "knn_vs_loop", clock(loop) * len(folds) / study.timed / ours


if __name__ == "__main__":  # one of the processes that are measured
    _one_fold(*sys.argv[1:])
