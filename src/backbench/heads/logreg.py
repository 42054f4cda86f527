"""Multinomial logistic regression with an L2 penalty, for all folds in step.

For the training rows of a fold, standardised within the fold, scikit-learn's objective

    F(W, b) = sum_i -log softmax(x'_i @ W + b)[y_i] + ||W||^2 / (2 C)

is minimised in the common frame: with `V = scale * W` the logits are `z @ V + c`, the features are
those of all folds, and the penalty of a column is weighted by its squared deviation. A held-out
row has weight 0. One product with the features and one with their transpose give objective and
gradient of every fold; L-BFGS turns them into steps.

Two things are shared by all folds: where they start, the solution for all rows, and what stands
for the inverse Hessian before L-BFGS has seen any curvature, the inverse of each class's own block
of the Hessian there. Neither moves the optimum, which is unique. A fold is followed until its
objective is within a share `tol` of the least, which leaves of the rows it holds out a trace below
that tolerance and no more. Along a grid of C a fold starts from its last solution, moved as the
solution for all rows moved.

Sources: Nocedal & Wright 2006, algorithms 7.4 and 7.5; Böhning 1992 for the blocks; the objective
is that of scikit-learn's LogisticRegression.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.errors import HeadError
from backbench.folds import Fold
from backbench.heads import affine, slots
from backbench.heads.choose import first_best, score
from backbench.heads.matrix import Matrix, affine_weights, moments, train_mask
from backbench.heads.settings import LogregSettings, values
from backbench.heads.threads import each, using
from backbench.heads.unit import Floats, Means, Problem, Unit, UnitResult, need_validation

WIDTH = 12
"""Folds a block: matrix products at full speed, and little waiting for the slowest."""
_MEMORY = 10
"""Steps that L-BFGS remembers."""
_ABSENT = -1e4
"""Added to the logits of a class that a fold never trains on, while it trains."""
_UNSEEN = 20.0
"""How far below the smallest intercept such a class is put for predictions."""
_NEGLIGIBLE = 0.03
"""A row is left out of a class's block when it bends it less than this times the penalty."""
_FINE = 1e-6
"""Tolerances below this need float64."""
_DOUBT = 10.0
"""L-BFGS takes the gap to the least objective for smaller than it is, by less than this."""

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
    if len(Cs) > 1:
        need_validation(units, "C", "give one head.C")
    matrix = Matrix(problem.X, means.device, means.memory)
    floats = (3 * _MEMORY * matrix.width) + 6 * min(matrix.n, matrix.block_rows)
    size = problem.classes * floats * (8 if settings.tol < _FINE else 4)
    width = slots.width(problem, WIDTH, size, means.memory)
    layout = slots.blocks((unit.fold for unit in units), width)
    keepers = [_Keeper(problem, matrix, block, settings) for block in layout]
    means.expect(len(Cs) * len(keepers))
    shared: _Shared | None = None
    for C in Cs:
        looking = [keeper for keeper in keepers if keeper.looking().any()]
        if not looking:
            break
        with using(means.workers):
            shared = _Shared(problem, matrix, C, shared, means.memory)
        _look(looking, shared, means, means.at_once(width * size))
    means.advance(len(Cs) * len(keepers))
    done = {index: result for keeper in keepers for index, result in keeper.results(Cs)}
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def _look(keepers: list["_Keeper"], shared: "_Shared", means: Means, workers: int) -> None:
    def look(keeper: _Keeper) -> None:
        keeper.look(shared)
        means.advance(1)

    each(look, keepers, workers=workers)


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


class _Shared:
    """What all folds share at one C.

    Attributes:
        C: inverse strength of the penalty.
        V: near the solution for all rows, `[C, 1, width]`; column D is the intercept.
        moved: V less the V of the C before.
        inverse: inverse Hessian block of each class `[C or 1, width, width]`, float32.
    """

    def __init__(
        self,
        problem: Problem,
        matrix: Matrix,
        C: float,
        previous: "_Shared | None",
        memory_budget: int,
    ) -> None:
        self.C = C
        self.V: Tensor
        start = torch.zeros((problem.classes, 1, matrix.width), device=matrix.device)
        start = start if previous is None else previous.V
        near = _approach(problem, matrix, C, start[:, 0])
        self.inverse = _inverse_blocks(matrix, near, C, memory_budget)
        everyone = np.ones((matrix.n, 1), np.bool_)
        bench = _Bench(problem, matrix, everyone, LogregSettings(max_iter=_CLOSING))
        bench.V = near[:, None].contiguous()
        bench.solve(self, torch.ones(1, dtype=torch.bool, device=matrix.device))
        self.V = bench.V
        self.moved = self.V - start

    def precondition(self, r: Tensor) -> Tensor:
        """An estimate of the inverse Hessian times `r [C, S, width]`."""
        return torch.bmm(r.float(), self.inverse.expand(len(r), -1, -1)).to(r)


_APPROACH, _CLOSING = 40, 40
"""Steps towards the solution for all rows, before and after its Hessian is known."""
_TYPICAL = 1e-3
"""p (1 - p) of a row near the solution, before anything is known: most rows are plain."""


def _approach(problem: Problem, matrix: Matrix, C: float, start: Tensor) -> Tensor:
    """Towards the optimum for all rows, `[C, width]`, by L-BFGS on whitened weights."""
    gram = torch.zeros((matrix.width, matrix.width), device=matrix.device)
    for _, x in matrix.blocks(torch.float32):
        gram.addmm_(x.T, x)
    gram *= _TYPICAL
    gram.diagonal().add_(1 / C + 1e-6 * gram.diagonal().mean())
    root = torch.linalg.cholesky(gram)
    unroot = torch.linalg.solve_triangular(root, torch.eye(matrix.width).to(root), upper=False)
    U = (start @ root).requires_grad_()
    lbfgs = torch.optim.LBFGS(
        [U],
        max_iter=_APPROACH,
        history_size=2 * _MEMORY,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    bench = _Bench(problem, matrix, np.ones((matrix.n, 1), np.bool_), LogregSettings())

    def objective() -> Tensor:
        value, gradient = bench.objective((U.detach() @ unroot)[:, None].contiguous(), C)
        U.grad = gradient[:, 0] @ unroot.T
        return value[0]

    lbfgs.step(objective)  # type: ignore[no-untyped-call]
    V: Tensor = U.detach() @ unroot
    return V


def _inverse_blocks(matrix: Matrix, V: Tensor, C: float, memory_budget: int) -> Tensor:
    """Inverse of `X.T @ diag(p_c (1 - p_c)) @ X + I / C` at V, a class each, or of their mean."""
    bends = []
    for _, x in matrix.blocks(torch.float32):
        P = torch.softmax(V @ x.T, 0).T
        bends.append(P * (1 - P))
    bend = torch.cat(bends)
    length = torch.cat([(x * x).sum(1) for _, x in matrix.blocks(torch.float32)])
    if 4 * bend.shape[1] * matrix.width**2 > memory_budget // 4:
        bend = bend.mean(1, keepdim=True)
    return torch.stack([_inverse_block(matrix, b, b * length, C) for b in bend.unbind(1)])


def _inverse_block(matrix: Matrix, bend: Tensor, most: Tensor, C: float) -> Tensor:
    counts = np.flatnonzero((most * C > _NEGLIGIBLE).cpu().numpy())
    block = torch.zeros((matrix.width, matrix.width), device=matrix.device)
    for rows in matrix.parts(counts):
        x, at = matrix.take(rows), torch.from_numpy(rows).to(matrix.device)
        block.addmm_((x * bend[at, None]).T, x)
    block.diagonal().add_(1 / C + 1e-6 * block.diagonal().mean())
    return torch.cholesky_inverse(torch.linalg.cholesky(block))


class _Bench:
    """A block of folds being solved; `V [C, S, width]` is where they are.

    Everything is computed in the precision of V.
    """

    def __init__(
        self,
        problem: Problem,
        matrix: Matrix,
        trained: NDArray[np.bool_],
        settings: LogregSettings,
    ) -> None:
        self.problem, self.matrix, self.settings = problem, matrix, settings
        self.moments = moments(matrix, trained)
        size, d, device = trained.shape[1], matrix.d, matrix.device
        self.y = torch.from_numpy(problem.y).to(device)
        self.trained = torch.from_numpy(np.ascontiguousarray(trained.T)).to(device)
        self.mean = torch.zeros((1, size, matrix.width), dtype=torch.float64, device=device)
        self.scale, self.penalty = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        self.mean[0, :, :d] = torch.from_numpy(self.moments.mean)
        self.scale[0, :, :d] = torch.from_numpy(self.moments.scale)
        self.scale[0, :, d] = 1
        self.penalty[0, :, :d] = torch.from_numpy(self.moments.std**2)
        self.used = (self.scale > 0).double()
        count = np.stack([np.bincount(problem.y[m], minlength=problem.classes) for m in trained.T])
        self.absent = torch.from_numpy(np.where(count.T == 0, _ABSENT, 0.0)).to(self.mean)
        self.V = torch.zeros((problem.classes, size, matrix.width), device=device)

    def solve(self, shared: _Shared, going: Tensor) -> Tensor:
        """Move V of the slots `going [S]` to their optimum at the C of `shared`, by L-BFGS.

        All slots look at a point at once. A slot that went down enough takes it and turns to a
        new direction, another tries a shorter step.

        Returns:
            The gap to the least objective that is left `[S]`, as a share of it or of a hundredth
            of what knowing nothing would cost, whichever is larger; as estimated.
        """
        memory = _Memory(shared, self)
        value, gradient = self.objective(self.V, shared.C)
        direction = -self.precondition(gradient, shared)
        gap = torch.where(going, float("inf"), 0.0).double()
        share = torch.ones_like(value)
        # Where classes can be told apart without error, the least objective is next to nothing.
        ignorance = 0.01 * self.trained.sum(1) * log(self.problem.classes)
        noise = 1e-7 if self.V.dtype == torch.float32 else 1e-14
        for _ in range(self.settings.max_iter):
            slope = _dot(gradient, direction)
            size = torch.maximum(value, ignorance)
            gap = torch.where(going, -_DOUBT * slope / (2 * size), gap)
            # A step too short to be seen: that is as far as rounding lets a slot go.
            going = going & (gap > self.settings.tol) & (share > 1e-8)
            if not going.any():
                break
            step = torch.where(going, share, 0.0).to(self.V)[:, None] * direction
            there, new_gradient = self.objective(self.V + step, shared.C)
            down = there <= value + 1e-4 * share * slope + noise * size
            taken = (going & down)[:, None]
            memory.add(torch.where(taken, step, 0), torch.where(taken, new_gradient - gradient, 0))
            self.V = self.V + torch.where(taken, step, 0)
            gradient = torch.where(taken, new_gradient, gradient)
            value = torch.where(going & down, there, value)
            direction = torch.where(taken, -memory.inverse_times(gradient), direction)
            share = torch.where(down, 1.0, share / 4)
        return gap

    def objective(self, V: Tensor, C: float) -> tuple[Tensor, Tensor]:
        """F `[S]`, float64, and its gradient `[C, S, width]` at V."""
        penalty, absent = self.penalty.to(V) / C, self.absent.to(V)
        gradient = penalty * V
        value = 0.5 * (gradient * V).sum((0, 2), dtype=torch.float64)
        for rows, block in self.matrix.blocks(torch.float32):
            x, y = block.to(V), self.y[rows].expand(1, V.shape[1], -1)
            logits = (V.flatten(0, 1) @ x.T).view(*V.shape[:2], -1)  # [C, S, B]
            log_p = torch.log_softmax(logits + absent[:, :, None], 0)
            trained = self.trained[:, rows]
            value -= (log_p.gather(0, y)[0] * trained).sum(1, dtype=torch.float64)
            residual = log_p.exp_().scatter_add_(0, y, -torch.ones_like(log_p[:1]))
            gradient.flatten(0, 1).addmm_((residual * trained).flatten(0, 1), x)
        return value, gradient * self.used.to(V)

    def precondition(self, r: Tensor, shared: _Shared) -> Tensor:
        """Precondition `r [C, S, width]` as the gradient by weights on standardised columns."""
        d, mean, scale = self.matrix.d, self.mean.to(r), self.scale.to(r)
        z = shared.precondition((r - mean * r[:, :, d : d + 1]) * scale) * scale
        z[:, :, d] -= (mean * z).sum(2)
        return z


class _Memory:
    """The last steps of L-BFGS and how the gradient changed along them."""

    def __init__(self, shared: _Shared, bench: _Bench) -> None:
        self.shared, self.bench = shared, bench
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a pair `[C, S, width]`; one that is 0 for a slot says nothing about it."""
        along = _dot(step, change)
        rho = torch.where(along > 1e-30, 1 / along.clamp_min(1e-30), 0.0)[:, None]
        self.pairs = [*self.pairs, (step, change, rho)][-_MEMORY:]

    def inverse_times(self, gradient: Tensor) -> Tensor:
        """The two loops (Nocedal & Wright, algorithm 7.4), with the shared blocks between."""
        q, alphas = gradient.clone(), []
        for step, change, rho in reversed(self.pairs):
            alpha = (rho * _dot(step, q)[:, None]).to(q)
            q -= alpha * change
            alphas.append(alpha)
        q = self.bench.precondition(q, self.shared)
        for (step, change, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += (alpha - (rho * _dot(change, q)[:, None]).to(q)) * step
        return q


@dataclass
class _Best:
    """The scores of a fold at each C, and the best: its C, number and `V [width, C]`."""

    scores: list[float] = field(default_factory=list)
    C: float = 0.0
    at: int = 0
    V: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))


class _Keeper:
    """The folds of a bench along the grid of C."""

    def __init__(
        self, problem: Problem, matrix: Matrix, block: slots.Slots, settings: LogregSettings
    ) -> None:
        self.bench = _Bench(problem, matrix, train_mask(matrix.n, block), settings)
        self.settings = settings
        self.folds = [(slot, fold) for slot, fold in enumerate(block) if fold is not None]
        self.best = {slot: _Best() for slot, _ in self.folds}

    def looking(self) -> Tensor:
        """Slots with a fold that looks at further values of C `[S]`."""
        looking = torch.zeros_like(self.bench.trained[:, 0])
        for slot, best in self.best.items():
            since = len(best.scores) - 1 - best.at
            looking[slot] = not self.settings.patience or since < self.settings.patience
        return looking

    def look(self, shared: _Shared) -> None:
        """Solve at the C of `shared`, and note how each fold does on its validation rows.

        Raises:
            HeadError: a fold has not converged after `settings.max_iter` steps.
        """
        bench, looking, tol = self.bench, self.looking(), self.settings.tol
        bench.V = (bench.V + shared.moved * bench.used).float()
        gap = torch.where(looking, float("inf"), 0.0)
        if tol >= _FINE:
            gap = bench.solve(shared, looking)
        if (gap > tol).any():  # what float32 cannot settle
            bench.V = bench.V.double()
            gap = bench.solve(shared, gap > tol)
        if (gap > max(1e3 * tol, 1e-4)).any():
            raise HeadError(
                f"logreg has not converged at C = {shared.C:g} in {self.settings.max_iter} steps; "
                "give a smaller head.C, or raise head.max_iter or head.tol."
            )
        for slot, fold in self.folds:
            best = self.best[slot]
            if looking[slot]:
                best.scores.append(self._score(slot, fold))
                if first_best(best.scores) == len(best.scores) - 1:
                    best.C, best.at = shared.C, len(best.scores) - 1
                    best.V = bench.V[:, slot].cpu().double().numpy().T

    def _score(self, slot: int, fold: Fold) -> float:
        if not fold.val.size:
            return 0.0
        bench = self.bench
        x = bench.matrix.take(fold.val).double()
        logits = x @ bench.V[:, slot].double().T + bench.absent[:, slot]
        return score(self.settings.monitor, logits.cpu().numpy(), bench.problem.y[fold.val])

    def results(self, Cs: list[float]) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """For each fold its index, and what a `UnitResult` has after its unit."""
        bench, X, d = self.bench, self.bench.problem.X, self.bench.matrix.d
        for slot, fold in self.folds:
            best = self.best[slot]
            mean, std, scale = (getattr(bench.moments, m)[slot] for m in ("mean", "std", "scale"))
            bias = best.V[d] + mean @ best.V[:d]
            seen = bench.absent[:, slot].cpu().numpy() == 0
            bias = np.where(seen, bias, bias[seen].min() - _UNSEEN)
            W = best.V[:d] * std[:, None]
            weights = affine_weights(bench.matrix, mean, scale, W, bias)
            history = {"C": Cs[: len(best.scores)], f"val_{self.settings.monitor}": best.scores}
            logits = [affine.predict(weights, X[rows]) for rows in (fold.test, fold.val)]
            yield fold.index, (*logits, {"C": best.C}, history if len(Cs) > 1 else {}, weights)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of each slot `[S]`, float64."""
    return (a * b).sum((0, 2), dtype=torch.float64)
