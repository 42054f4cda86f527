"""Multinomial logistic regression with an L2 penalty, for all folds in step.

For the training rows of a fold, standardised within the fold, scikit-learn's objective

    F(W, b) = sum_i -log softmax(x'_i @ W + b)[y_i] + ||W||^2 / (2 C)

is minimised by `logreg_solver`, blocks of folds at a time, until the objective of each is within a
share `tol` of the least. Along a grid of C, from the smallest up, a fold starts from its last
solution, moved as the solution for all rows moved and as it drifted from that before. It looks on
while its validation rows gain, no closer than the choice needs, and is finished at the C it chose.
Where classes can be told apart without error, the solution for a large C is far away: smaller
values lead to it, also where one C is given.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.files.arrays import Arrays
from backbench.folds import Fold
from backbench.heads import affine, slots
from backbench.heads.choose import first_best, score
from backbench.heads.logreg_solver import MEMORY, Several, Shared, Solver
from backbench.heads.matrix import Matrix, affine_weights, train_mask
from backbench.heads.settings import LogregSettings, values
from backbench.heads.threads import each, using
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation

WIDTH = 12
"""Folds a block: matrix products at full speed, and little waiting for the slowest."""
_UNSEEN = 20.0
"""How far below the smallest intercept a class without training rows is put for predictions."""
_FINE = 1e-6
"""Tolerances below this need float64."""
_CHOICE = 3e-5
"""Tolerance that is enough to choose from a grid, where no `_FINE` one is asked for."""
_PLAIN, _STRIDE = 10.0, 10.0
"""The C that is found from nowhere, and how many times it a larger one may be than the last."""

Tensor = torch.Tensor


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LogregSettings,
    *,
    means: Means,
) -> list[UnitResult]:
    """Train all units, once a fold: seeds play no part; see `backbench.heads.train`."""
    Cs = sorted(values(settings.C))
    path = _path(Cs)
    if len(Cs) > 1:
        need_validation(units, "C", "give one head.C")
    matrix = Matrix(problem.X, means.device, means.memory)
    floats = (3 * MEMORY * matrix.width) + 6 * min(matrix.n, matrix.block_rows)
    size = problem.classes * floats * (8 if settings.tol < _FINE else 4)
    width = slots.width(problem, WIDTH, size, means.memory)
    layout = slots.blocks((unit.fold for unit in units), width)
    keepers = [_Keeper(problem, matrix, block, settings) for block in layout]
    means.expect((len(path) + 1) * len(keepers))
    shared: Shared | None = None
    for C in path:
        looking = [keeper for keeper in keepers if keeper.looking().any()]
        if not looking:
            break
        with using(means.workers):
            shared = Shared(problem, matrix, C, shared, means.memory)
        work = methodcaller("look" if C in Cs else "follow", shared)
        _each(looking, work, means, means.at_once(width * size))
    if len(Cs) > 1:
        _each(keepers, _Keeper.finish, means, means.at_once(width * size))
    means.advance((len(path) + 1) * len(keepers))
    done = {index: result for keeper in keepers for index, result in keeper.results(Cs)}
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def _path(Cs: list[float]) -> list[float]:
    """The grid, and before its large values those that lead to them; from the smallest up."""
    path, last = [], _PLAIN
    for C in Cs:
        while _STRIDE * last < C:
            last *= _STRIDE
            path.append(last)
        path.append(C)
        last = max(C, last)
    return path


def _each(
    keepers: list["_Keeper"], work: Callable[["_Keeper"], None], means: Means, workers: int
) -> None:
    def told(keeper: _Keeper) -> None:
        work(keeper)
        means.advance(1)

    each(told, keepers, workers=workers)


def predict(weights: Arrays, X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


@dataclass
class _Best:
    """The scores of a fold at each C, and the best: its number, what is shared there, V."""

    scores: list[float] = field(default_factory=list)
    at: int = 0
    shared: Shared | None = None
    V: Tensor = field(default_factory=lambda: torch.empty(0))


class _Keeper:
    """The folds of a solver along the grid of C.

    Attributes:
        drift: how V went another way than the solution for all rows, at the last C.
    """

    def __init__(
        self, problem: Problem, matrix: Matrix, block: slots.Slots, settings: LogregSettings
    ) -> None:
        self.solver = Solver(problem, matrix, train_mask(matrix.n, block), settings.max_iter)
        self.settings = settings
        self.slots, self.grid = range(len(block)), len(values(settings.C)) > 1
        self.folds = [(slot, fold) for slot, fold in enumerate(block) if fold is not None]
        self.best = {slot: _Best() for slot, _ in self.folds}
        self.drift = torch.zeros_like(self.solver.V)

    def looking(self) -> Tensor:
        """Slots with a fold that looks at further values of C `[S]`.

        With a small C all rows are called the same, which no score but the loss tells apart.
        """
        looking = torch.zeros_like(self.solver.trained[:, 0])
        for slot, best in self.best.items():
            since = len(best.scores) - 1 - best.at
            gained = best.at > 0 or self.settings.monitor == "val_loss"
            patience = self.settings.patience if gained else 0
            looking[slot] = not patience or since < patience
        return looking

    def look(self, shared: Shared) -> None:
        """Solve at the C of `shared`, and note how each fold does on its validation rows.

        Along a grid that is as close as the choice needs, unless `settings.tol` asks for more than
        float32 gives; `finish` goes on at the chosen C.

        Raises:
            HeadError: a fold has not converged after `settings.max_iter` steps.
        """
        looking, tol = self.looking(), self.settings.tol
        self.follow(shared, max(tol, _CHOICE) if self.grid and tol >= _FINE else tol)
        for slot, fold in self.folds:
            best = self.best[slot]
            if looking[slot]:
                best.scores.append(self._score(slot, fold))
                if first_best(best.scores) == len(best.scores) - 1:
                    best.shared, best.at = shared, len(best.scores) - 1
                    best.V = self.solver.V[:, slot].clone()

    def follow(self, shared: Shared, tol: float = _CHOICE) -> None:
        """Go along with the solution for all rows to the C of `shared`, and solve there.

        Raises:
            HeadError: as `look`.
        """
        solver = self.solver
        start = (solver.V + shared.moved * solver.used).float()
        solver.V = start + self.drift
        self._solve(shared, self.looking(), tol)
        self.drift = (solver.V - start).float()

    def finish(self) -> None:
        """Solve each fold at the C that it chose.

        Raises:
            HeadError: as `look`.
        """
        solver = self.solver
        solver.V = solver.V.float()
        for slot, best in self.best.items():
            solver.V[:, slot] = best.V
        by_slot = [self.best[slot].shared if slot in self.best else None for slot in self.slots]
        going = torch.tensor([one is not None for one in by_slot], device=solver.V.device)
        self._solve(Several(by_slot, solver.V.device), going, self.settings.tol)
        for slot, best in self.best.items():
            best.V = solver.V[:, slot]

    def _solve(self, shared: Shared | Several, going: Tensor, tol: float) -> None:
        solver = self.solver
        gap = torch.where(going, float("inf"), 0.0)
        if tol >= _FINE:
            gap = solver.solve(shared, going, tol)
        if (gap > tol).any():  # what float32 cannot settle
            solver.V = solver.V.double()
            gap = solver.solve(shared, gap > tol, tol)
        if (gap > max(1e3 * tol, 1e-4)).any():
            raise HeadError(
                f"logreg has not converged at C = {shared.C} in {self.settings.max_iter} steps; "
                "give a smaller head.C, or raise head.max_iter or head.tol."
            )

    def _score(self, slot: int, fold: Fold) -> float:
        if not fold.val.size:
            return 0.0
        solver = self.solver
        V, absent = solver.V[:, slot].double().T, solver.absent[:, slot]
        logits = np.empty((len(fold.val), solver.problem.classes))
        for part in solver.matrix.parts(len(fold.val)):
            x = solver.matrix.take(fold.val[part]).double()
            logits[part] = (x @ V + absent).cpu().numpy()
        return score(self.settings.monitor, logits, solver.problem.y[fold.val])

    def results(self, Cs: list[float]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """For each fold its index, and what a `UnitResult` has after its unit."""
        solver, d = self.solver, self.solver.matrix.d
        for slot, fold in self.folds:
            best = self.best[slot]
            V = best.V.cpu().double().numpy().T
            mean, std, scale = (getattr(solver.moments, m)[slot] for m in ("mean", "std", "scale"))
            bias = V[d] + mean @ V[:d]
            seen = solver.absent[:, slot].cpu().numpy() == 0
            bias = np.where(seen, bias, bias[seen].min() - _UNSEEN)
            W = V[:d] * std[:, None]
            weights = affine_weights(solver.matrix, mean, scale, W, bias)
            history = {"C": Cs[: len(best.scores)], f"val_{self.settings.monitor}": best.scores}
            logits = [
                affine.of_rows(predict, weights, solver.problem, r) for r in (fold.test, fold.val)
            ]
            yield fold.index, (*logits, {"C": Cs[best.at]}, history if len(Cs) > 1 else {}, weights)
