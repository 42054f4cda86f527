"""Where logistic regression's objective is least, for a block of folds in step.

The common frame: with `V = scale * W` the logits are `z @ V + c`, the features are those of all
folds, and the penalty of a column is weighted by its squared deviation. A held-out row has weight
0. One product with the features and one with their transpose give objective and gradient of every
fold; L-BFGS turns them into steps.

Two things are shared by all folds: where they start, the solution for all rows, and what stands
for the inverse Hessian before L-BFGS has seen any curvature, the inverse of each class's own block
of the Hessian there. Neither moves the optimum, which is unique, so of the rows that a fold holds
out a trace below the tolerance is left and no more.

Sources: Nocedal & Wright 2006, algorithms 7.4 and 7.5; Böhning 1992 for the blocks; the objective
is that of scikit-learn's LogisticRegression.
"""

from collections.abc import Sequence
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.heads.matrix import Matrix, moments
from backbench.heads.unit import Problem

MEMORY = 10
"""Steps that L-BFGS remembers."""
ABSENT = -1e4
"""Added to the logits of a class that a fold never trains on, while it trains."""
_NEGLIGIBLE = 0.03
"""A row is left out of a class's block when it bends it less than this times the penalty."""
_NEAR = 4.0
"""How many times the C that blocks were made for they still serve: steps cost less than blocks."""
_APPROACH, _CLOSING, _CLOSE = 40, 40, 1e-5
"""Steps towards the solution for all rows before and after its Hessian is known, and how close."""
_TYPICAL = 1e-3
"""p (1 - p) of a row near the solution, before anything is known: most rows are plain."""
_DOUBT = 10.0
"""L-BFGS takes the gap to the least objective for smaller than it is, by less than this."""

Tensor = torch.Tensor


class Shared:
    """What all folds share at one C.

    Attributes:
        C: inverse strength of the penalty.
        V: near the solution for all rows, `[C, 1, width]`; column D is the intercept.
        moved: V less the V of the C before.
        inverse: inverse Hessian block of each class `[C or 1, width, width]`, float32, at `made`.
        made: the C that `inverse` was made for; one near it is served as well.
    """

    def __init__(
        self,
        problem: Problem,
        matrix: Matrix,
        C: float,
        previous: "Shared | None",
        memory_budget: int,
    ) -> None:
        self.C = C
        start = torch.zeros((problem.classes, 1, matrix.width), device=matrix.device)
        if previous is None:
            self.V = _approach(problem, matrix, C, start[:, 0])[:, None].contiguous()
            self.inverse, self.made = _inverse_blocks(matrix, self.V[:, 0], C, memory_budget), C
        else:
            start = self.V = previous.V
            self.inverse, self.made = previous.inverse, previous.made
        self._solve(problem, matrix)
        if _NEAR * self.made < C:
            self.inverse, self.made = _inverse_blocks(matrix, self.V[:, 0], C, memory_budget), C
        self.moved = self.V - start

    def _solve(self, problem: Problem, matrix: Matrix) -> None:
        everyone = np.ones((matrix.n, 1), np.bool_)
        solver = Solver(problem, matrix, everyone, _CLOSING)
        solver.V = self.V
        solver.solve(self, torch.ones(1, dtype=torch.bool, device=matrix.device), _CLOSE)
        self.V = solver.V

    def precondition(self, r: Tensor) -> Tensor:
        """An estimate of the inverse Hessian times `r [C, S, width]`.

        A vector added to the weights of all classes changes no probability, so weights that the
        penalty is lowest for sum to 0 over classes, and so do steps towards them.
        """
        z = torch.bmm(r.float(), self.inverse.expand(len(r), -1, -1)).to(r)
        return z - z.mean(0, keepdim=True)


class Several:
    """What the folds of a solver share where each has a C of its own."""

    def __init__(self, by_slot: Sequence[Shared | None], device: torch.device) -> None:
        """Take one a slot; None where nothing is to be solved."""
        self.C = torch.tensor([1.0 if one is None else one.C for one in by_slot], device=device)
        self._parts = [
            (one, torch.tensor([other is one for other in by_slot], device=device)[:, None])
            for one in dict.fromkeys(by_slot)
            if one is not None
        ]

    def precondition(self, r: Tensor) -> Tensor:
        """As `Shared.precondition`, each slot by its own."""
        return torch.stack([one.precondition(r * mine) for one, mine in self._parts]).sum(0)


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
        history_size=2 * MEMORY,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    solver = Solver(problem, matrix, np.ones((matrix.n, 1), np.bool_), 0)

    def objective() -> Tensor:
        value, gradient = solver.objective((U.detach() @ unroot)[:, None].contiguous(), C)
        U.grad = gradient[:, 0] @ unroot.T
        return value[0]

    lbfgs.step(objective)  # type: ignore[no-untyped-call]
    V: Tensor = U.detach() @ unroot
    return V


def _inverse_blocks(matrix: Matrix, V: Tensor, C: float, memory_budget: int) -> Tensor:
    """Inverse of `X.T @ diag(p_c (1 - p_c)) @ X + I / C` at V, a class each, or of their mean."""
    bend, length = V.new_empty((matrix.n, len(V))), V.new_empty(matrix.n)
    for rows, x in matrix.blocks(torch.float32):
        P = torch.softmax(V @ x.T, 0).T
        bend[rows], length[rows] = P * (1 - P), (x * x).sum(1)
    if 4 * bend.shape[1] * matrix.width**2 > memory_budget // 4:
        bend = bend.mean(1, keepdim=True)
    return torch.stack([_inverse_block(matrix, b, b * length, C) for b in bend.unbind(1)])


def _inverse_block(matrix: Matrix, bend: Tensor, most: Tensor, C: float) -> Tensor:
    counts = np.flatnonzero((most * C > _NEGLIGIBLE).cpu().numpy())
    block = torch.zeros((matrix.width, matrix.width), device=matrix.device)
    for part in matrix.parts(len(counts)):
        rows = counts[part]
        x, at = matrix.take(rows), torch.from_numpy(rows).to(matrix.device)
        block.addmm_((x * bend[at, None]).T, x)
    columns = block.diagonal()[: matrix.d]
    columns += 1 / C + 1e-6 * columns.mean()
    block.diagonal()[matrix.d + 1 :] = 1  # padding
    block[matrix.d, matrix.d] = bend.sum()  # no penalty, so no row is negligible here
    return torch.cholesky_inverse(torch.linalg.cholesky(block))


class Solver:
    """A block of folds being solved; `V [C, S, width]` is where they are.

    Everything is computed in the precision of V.
    """

    def __init__(
        self,
        problem: Problem,
        matrix: Matrix,
        trained: NDArray[np.bool_],
        max_iter: int,
    ) -> None:
        self.problem, self.matrix, self.max_iter = problem, matrix, max_iter
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
        self.absent = torch.from_numpy(np.where(count.T == 0, ABSENT, 0.0)).to(self.mean)
        self.V = torch.zeros((problem.classes, size, matrix.width), device=device)

    def solve(self, shared: Shared | Several, going: Tensor, tol: float) -> Tensor:
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
        for _ in range(self.max_iter):
            slope = _dot(gradient, direction)
            size = torch.maximum(value, ignorance)
            gap = torch.where(going, -_DOUBT * slope / (2 * size), gap)
            # A step too short to be seen: that is as far as rounding lets a slot go.
            going = going & (gap > tol) & (share > 1e-8)
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

    def objective(self, V: Tensor, C: float | Tensor) -> tuple[Tensor, Tensor]:
        """F `[S]`, float64, and its gradient `[C, S, width]` at V, for one C or one a slot."""
        each = torch.as_tensor(C, device=V.device).expand(V.shape[1])[:, None]
        penalty, absent = (self.penalty / each).to(V), self.absent.to(V)
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

    def precondition(self, r: Tensor, shared: Shared | Several) -> Tensor:
        """Precondition `r [C, S, width]` as the gradient by weights on standardised columns."""
        d, mean, scale = self.matrix.d, self.mean.to(r), self.scale.to(r)
        z = shared.precondition((r - mean * r[:, :, d : d + 1]) * scale) * scale
        z[:, :, d] -= (mean * z).sum(2)
        return z


class _Memory:
    """The last steps of L-BFGS and how the gradient changed along them."""

    def __init__(self, shared: Shared | Several, solver: Solver) -> None:
        self.shared, self.solver = shared, solver
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a pair `[C, S, width]`; one that is 0 for a slot says nothing about it."""
        along = _dot(step, change)
        rho = torch.where(along > 1e-30, 1 / along.clamp_min(1e-30), 0.0)[:, None]
        self.pairs = [*self.pairs, (step, change, rho)][-MEMORY:]

    def inverse_times(self, gradient: Tensor) -> Tensor:
        """The two loops (Nocedal & Wright, algorithm 7.4), with the shared blocks between."""
        q, alphas = gradient.clone(), []
        for step, change, rho in reversed(self.pairs):
            alpha = (rho * _dot(step, q)[:, None]).to(q)
            q -= alpha * change
            alphas.append(alpha)
        q = self.solver.precondition(q, self.shared)
        for (step, change, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += (alpha - (rho * _dot(change, q)[:, None]).to(q)) * step
        return q


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of each slot `[S]`, float64."""
    return (a * b).sum((0, 2), dtype=torch.float64)
