"""Multinomial logistic regression with an L2 penalty: Newton's method for all folds in step.

For the training rows of a fold, standardised within the fold, scikit-learn's objective

    F(W, b) = sum_i -log softmax(x'_i @ W + b)[y_i] + ||W||^2 / (2 C)

is solved in the common frame: with `V = scale * W` the logits are `z @ V + c`, the features are
those of all folds, and the penalty of a column is weighted by its squared deviation. A held-out
row has weight 0. Each Newton system is solved by conjugate gradients, for all folds at once, over
the pairs of row and class whose curvature counts: most rows are plainly not of most classes.

What is shared: the solution for all rows, where each fold starts, and the preconditioner, the
inverse of each class's own block of the Hessian there. Neither moves the optimum, which is unique;
a fold is followed until no probability is off by more than `tol`, so that it keeps nothing of the
rows it holds out. Along a grid of C a fold starts from its last solution, moved as the
solution for all rows moved.

Sources: Lin, Weng & Keerthi 2008 (trust-region Newton for logistic regression), Eisenstat &
Walker 1996 (how exactly to solve each system), Nocedal & Wright 2006, chapter 7.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from backbench.heads.unit import Floats, Problem, Progress, Unit, UnitResult, need_validation

WIDTH = 24
"""Folds a block at most: the rows that count are read once for all of them."""
_ABSENT = -1e4
"""Added to the logits of a class that a fold never trains on, while it trains."""
_UNSEEN = 20.0
"""How far below the smallest intercept such a class is put for predictions."""
_NEGLIGIBLE = 0.01
"""A pair is left out of Newton's systems when it bends them less than this times the penalty."""

_FORCING = 0.1
"""Share of the residual that a Newton system may be left with."""
_FINE = 1e-4
"""Below this tolerance gradients are float64."""
_MOST = 500
"""Conjugate gradient steps a system at most."""
_STARTING = 60
"""Steps towards the solution for all rows."""

Tensor = torch.Tensor


def train(
    problem: Problem,
    units: Sequence[Unit],
    settings: LogregSettings,
    *,
    device: str,
    memory_budget: int,
    progress: Progress,
) -> list[UnitResult]:
    """Train all units, once a fold: seeds play no part; see `backbench.heads.train`."""
    Cs = sorted(values(settings.C))
    if len(Cs) > 1:
        need_validation(units, "C", "give one head.C")
    matrix = Matrix(problem.X, device, memory_budget)
    classes = problem.classes
    bytes_each = 4 * classes * (2 * matrix.n + 6 * matrix.block_rows + 20 * matrix.width)
    width = slots.width(problem, WIDTH, bytes_each, memory_budget)
    layout = slots.blocks((unit.fold for unit in units), width)
    benches = [_Bench(problem, matrix, block) for block in layout]
    shared: _Shared | None = None
    for step, C in enumerate(Cs):
        looking = [bench for bench in benches if bench.looking(settings).any()]
        if looking:
            shared = _Shared(problem, matrix, C, shared, memory_budget)
            for bench in looking:
                bench.solve(shared, settings)
                bench.keep(C, settings)
        progress(step + 1, len(Cs))
    done = {index: result for bench in benches for index, result in bench.results(Cs, settings)}
    return [UnitResult(unit, *done[unit.fold.index]) for unit in units]


def predict(weights: Mapping[str, NDArray[Any]], X: Floats) -> NDArray[np.float32]:
    """Logits `[n, C]`; see `backbench.heads.predict`."""
    return affine.predict(weights, X)


class _Shared:
    """What all folds share at one C: a start, the pairs that count, and a preconditioner.

    Attributes:
        C: inverse strength of the penalty.
        V: near the solution for all rows, `[C, width]`, float32; column D is the intercept.
        moved: V less the V of the C before.
        pairs: for each class the numbers of the rows whose curvature counts.
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
        self.C, self.matrix = C, matrix
        self.V: Tensor
        start = torch.zeros((problem.classes, matrix.width), device=matrix.device)
        start = start if previous is None else previous.V
        self.V = _solve_all(problem, matrix, C, start)
        self.moved = self.V - start
        bent = [_bend(x, self.V) for _, x in _blocks(matrix)]
        weight, length = (torch.cat(parts) for parts in zip(*bent, strict=True))
        counts = (weight * length[:, None] * C > _NEGLIGIBLE).cpu().numpy()
        self.pairs = [np.flatnonzero(column) for column in counts.T]
        self.numbers = [torch.from_numpy(rows).to(matrix.device) for rows in self.pairs]
        spare = memory_budget // 4
        few = 4 * matrix.width * sum(map(len, self.pairs)) <= spare
        self._kept = [list(_chunks(matrix, rows)) for rows in self.pairs] if few else None
        if 4 * problem.classes * matrix.width**2 <= spare:
            blocks = [self._block(c, weight[:, c]) for c in range(problem.classes)]
        else:
            blocks = [
                sum(
                    (self._block(c, weight[:, c]) for c in range(1, problem.classes)),
                    start=self._block(0, weight[:, 0]),
                )
                / problem.classes
            ]
        self.inverse = torch.stack([_inverse(block, C) for block in blocks])

    def rows_of(self, c: int) -> Iterable[tuple[Tensor, Tensor]]:
        """Features and numbers of the rows that count for class c, block by block."""
        return self._kept[c] if self._kept else _chunks(self.matrix, self.pairs[c])

    def _block(self, c: int, weight: Tensor) -> Tensor:
        """`X.T @ diag(weight) @ X` of the rows that count for class c."""
        block = torch.zeros((self.matrix.width, self.matrix.width), device=self.matrix.device)
        for x, rows in self.rows_of(c):
            block.addmm_((x * weight[rows, None]).T, x)
        return block

    def precondition(self, r: Tensor) -> Tensor:
        """An estimate of the inverse Hessian times `r [C, S, width]`."""
        return torch.bmm(r, self.inverse.expand(len(r), -1, -1))


def _blocks(matrix: Matrix) -> Iterator[tuple[slice, Tensor]]:
    return matrix.blocks(torch.float32)


def _solve_all(problem: Problem, matrix: Matrix, C: float, start: Tensor) -> Tensor:
    """Near the optimum for all rows, by L-BFGS: a place to start from, no more."""
    V = start.clone().requires_grad_()
    y = torch.from_numpy(problem.y).to(matrix.device)[:, None]
    lbfgs = torch.optim.LBFGS(
        [V], max_iter=_STARTING, history_size=20, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        free = V.detach()[:, : matrix.d]
        value = 0.5 * float((free * free).sum()) / C
        V.grad = torch.zeros_like(V)
        V.grad[:, : matrix.d] = free / C
        for rows, x in _blocks(matrix):
            log_p = torch.log_softmax((V.detach() @ x.T).T, 1)
            value -= float(log_p.gather(1, y[rows]).sum(dtype=torch.float64))
            residual = log_p.exp_().scatter_add_(1, y[rows], -torch.ones_like(log_p[:, :1]))
            V.grad += residual.T @ x
        return torch.tensor(value, dtype=torch.float64)

    lbfgs.step(objective)  # type: ignore[no-untyped-call]
    return V.detach()


def _bend(x: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """P (1 - p) of every row and class `[B, C]`, and the squared length of every row `[B]`."""
    P = torch.softmax(x @ V.T, 1)
    return P * (1 - P), (x * x).sum(1)


def _inverse(block: Tensor, C: float) -> Tensor:
    """Inverse of `block + I / C`, with enough on the diagonal for float32."""
    diagonal = block.diagonal()
    diagonal += 1 / C + 1e-6 * diagonal.mean()
    return torch.cholesky_inverse(torch.linalg.cholesky(block))


def _chunks(matrix: Matrix, rows: NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and numbers of the rows, block by block."""
    for part in matrix.parts(rows):
        yield matrix.take(part), torch.from_numpy(part).to(matrix.device)


@dataclass
class _Best:
    """The scores of a fold at each C, and the best: its C, number and `V [width, C]`."""

    scores: list[float] = field(default_factory=list)
    C: float = 0.0
    at: int = 0
    V: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True)
class _Point:
    """Where a block of folds is: objective `[S]`, gradient `[C, S, width]`, P `[N, C, S]`."""

    value: Tensor
    gradient: Tensor
    P: Tensor


class _Bench:
    """A block of folds being solved; `V [C, S, width]`, float64, is where they are."""

    def __init__(self, problem: Problem, matrix: Matrix, block: slots.Slots) -> None:
        self.problem, self.matrix = problem, matrix
        self.folds = [(slot, fold) for slot, fold in enumerate(block) if fold is not None]
        trained = train_mask(matrix.n, block)
        self.moments = moments(matrix, trained)
        size, d, device = len(block), matrix.d, matrix.device
        self.y = torch.from_numpy(problem.y).to(device)
        self.trained = torch.from_numpy(trained).to(device)
        self.mean = torch.zeros((1, size, matrix.width), device=device)
        self.scale = torch.zeros((1, size, matrix.width), device=device)
        self.penalty = torch.zeros((1, size, matrix.width), dtype=torch.float64, device=device)
        self.mean[0, :, :d] = torch.from_numpy(self.moments.mean)
        self.scale[0, :, :d] = torch.from_numpy(self.moments.scale)
        self.scale[0, :, d] = 1
        self.penalty[0, :, :d] = torch.from_numpy(self.moments.std**2)
        self.used = (self.scale > 0).double()
        count = np.stack([np.bincount(problem.y[m], minlength=problem.classes) for m in trained.T])
        self.absent = torch.from_numpy(np.where(count.T == 0, _ABSENT, 0.0)).to(device)
        self.V = self.penalty.new_zeros((problem.classes, size, matrix.width))
        self.best: dict[int, _Best] = {}

    def looking(self, settings: LogregSettings) -> Tensor:
        """Slots with a fold that looks at further values of C `[S]`."""
        looking = self.trained.any(0)
        for slot, best in self.best.items():
            since = len(best.scores) - 1 - best.at
            looking[slot] &= not settings.patience or since < settings.patience
        return looking

    def solve(self, shared: _Shared, settings: LogregSettings) -> None:
        """Move V to the optimum of every fold at the C of `shared`.

        Raises:
            HeadError: a fold has not converged after `settings.max_newton` steps.
        """
        self.V += shared.moved[:, None].to(self.V) * self.used
        going = self.looking(settings)
        # Rounding in float32 moves probabilities by 1e-5 or so; below that it has to be float64.
        dtype = torch.float64 if settings.tol < _FINE else torch.float32
        point = self._look(self.V, shared.C, dtype)
        for _ in range(settings.max_newton):
            step, left = self._newton_step(point, going, shared)
            before, point = point, self._line_search(step, point, shared.C, dtype)
            moved = (point.P - before.P).abs_().amax((0, 1)).double()
            # What a Newton step leaves: what its system was left with, and the bend it ignored.
            error = moved * torch.maximum(left, (4 * moved).clamp(max=1.0))
            going &= error > settings.tol
            if not going.any():
                return
        raise HeadError(
            f"logreg has not converged at C = {shared.C:g} in {settings.max_newton} Newton steps; "
            "give a smaller head.C, or raise head.max_newton or head.tol."
        )

    def _look(self, V: Tensor, C: float, dtype: torch.dtype) -> "_Point":
        """Objective, gradient and probabilities at V."""
        value = (0.5 / C) * (self.penalty * V * V).sum((0, 2))
        gradient = torch.zeros_like(V, dtype=dtype)
        P = torch.empty((self.matrix.n, *V.shape[:2]), device=V.device)
        there, absent = V.to(dtype), self.absent.to(dtype)
        for rows, block in _blocks(self.matrix):
            x, y = block.to(dtype), self.y[rows, None, None].expand(-1, 1, V.shape[1])
            log_p = torch.log_softmax(_logits(x, there) + absent, 1)
            trained = self.trained[rows]
            value -= (log_p.gather(1, y)[:, 0] * trained).sum(0, dtype=torch.float64)
            residual = log_p.exp_()
            P[rows] = residual
            residual.scatter_add_(1, y, -torch.ones_like(residual[:, :1]))
            residual *= trained[:, None]
            gradient.flatten(0, 1).addmm_(residual.flatten(1).T, x)
        return _Point(value, (gradient + self.penalty * V / C) * self.used, P)

    def _line_search(self, step: Tensor, point: "_Point", C: float, dtype: torch.dtype) -> "_Point":
        """Halve the step of each fold until it goes down enough; moves V."""
        share = torch.ones_like(point.value)
        slope = 1e-4 * _dot(point.gradient, step)
        noise = torch.finfo(dtype).eps * 10 * point.value.abs()
        for _ in range(30):
            V = self.V + share[:, None] * step
            there = self._look(V, C, dtype)
            uphill = there.value > point.value + share * slope + noise
            if not uphill.any():
                break
            share = torch.where(uphill, share / 2, share)
        self.V = V
        return there

    def _newton_step(
        self, point: "_Point", going: Tensor, shared: _Shared
    ) -> tuple[Tensor, Tensor]:
        """Solve Hessian @ step = -gradient by preconditioned conjugate gradients, in float32.

        Returns:
            The step `[C, S, width]`, float64, 0 for folds that are done, and the share of the
            residual left `[S]`, in the norm of the preconditioner.
        """
        curvature = self._curvature(point.P, shared)
        used = self.used.float()
        r = -point.gradient.float()
        step = torch.zeros_like(r)
        z = self._precondition(r, shared)
        p, norm = z, _dot(r, z)
        first, left, busy = norm.clamp_min(1e-30), torch.ones_like(norm), going & (norm > 0)
        for _ in range(_MOST):
            h = self._hessian(p, curvature, shared) * used
            along = torch.where(busy, norm / _dot(p, h).clamp_min(1e-30), 0.0)[:, None]
            step += along * p
            r -= along * h
            z = self._precondition(r, shared)
            now = torch.where(busy, _dot(r, z), norm)
            left = (now / first).clamp_min(0).sqrt()
            busy &= left > _FORCING
            if not busy.any():
                break
            p = z + (now / norm.clamp_min(1e-30))[:, None] * p
            norm = now
        return step.double(), left.double()

    def _precondition(self, r: Tensor, shared: _Shared) -> Tensor:
        """Precondition `r [C, S, width]` as the gradient by weights on standardised columns."""
        d = self.matrix.d
        z = shared.precondition((r - self.mean * r[:, :, d : d + 1]) * self.scale) * self.scale
        z[:, :, d] -= (self.mean * z).sum(2)
        return z

    def _curvature(self, P: Tensor, shared: _Shared) -> list[Tensor]:
        """For each class the probabilities of its pairs `[n_c, S]`, 0 where not trained on."""
        parts = []
        for c, rows in enumerate(shared.numbers):
            parts.append(P[rows, c] * self.trained[rows])
        return parts

    def _hessian(self, p: Tensor, curvature: list[Tensor], shared: _Shared) -> Tensor:
        """The Hessian of the pairs that count, times `p [C, S, width]`.

        Of row i it takes diag(P_i) - P_i P_i^T to the classes that count for it.
        """
        mean = torch.zeros_like(self.trained, dtype=p.dtype)
        bent = []
        for c, P in enumerate(curvature):
            z = torch.cat([p[c] @ x.T for x, _ in shared.rows_of(c)], 1).T * P
            mean.index_add_(0, shared.numbers[c], z)
            bent.append(z)
        out = self.penalty.float() * p / shared.C
        for c, (P, z) in enumerate(zip(curvature, bent, strict=True)):
            z.sub_(P * mean[shared.numbers[c]])
            start = 0
            for x, rows in shared.rows_of(c):
                out[c].addmm_(z[start : start + len(rows)].T, x)
                start += len(rows)
        return out

    def keep(self, C: float, settings: LogregSettings) -> None:
        """Note how each fold does on its validation rows at C, and keep the best."""
        looking = self.looking(settings)
        for slot, fold in self.folds:
            if looking[slot]:
                best = self.best.setdefault(slot, _Best())
                best.scores.append(self._score(slot, fold, settings.monitor))
                if first_best(best.scores) == len(best.scores) - 1:
                    best.C, best.at = C, len(best.scores) - 1
                    best.V = self.V[:, slot].cpu().numpy().T.copy()

    def _score(self, slot: int, fold: Fold, monitor: str) -> float:
        if not fold.val.size:
            return 0.0
        logits = self.matrix.take(fold.val).double() @ self.V[:, slot].T + self.absent[:, slot]
        return score(monitor, logits.cpu().numpy(), self.problem.y[fold.val])

    def results(
        self, Cs: list[float], settings: LogregSettings
    ) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """For each fold its index, and what a `UnitResult` has after its unit."""
        X, d = self.problem.X, self.matrix.d
        mean, std, scale = self.moments.mean, self.moments.std, self.moments.scale
        for slot, fold in self.folds:
            best = self.best[slot]
            V = best.V
            bias = V[d] + mean[slot] @ V[:d]
            seen = self.absent[:, slot].cpu().numpy() == 0
            bias = np.where(seen, bias, bias[seen].min() - _UNSEEN)
            W = V[:d] * std[slot][:, None]
            weights = affine_weights(self.matrix, mean[slot], scale[slot], W, bias)
            looked = Cs[: len(best.scores)]
            history = {"C": looked, f"val_{settings.monitor}": best.scores} if len(Cs) > 1 else {}
            logits = [affine.predict(weights, X[rows]) for rows in (fold.test, fold.val)]
            yield fold.index, (*logits, {"C": best.C}, history, weights)


def _logits(x: Tensor, V: Tensor) -> Tensor:
    """`x [B, width]` under `V [C, S, width]`, `[B, C, S]`."""
    return (x @ V.flatten(0, 1).T).view(len(x), *V.shape[:2])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of each slot `[S]`."""
    return (a * b).sum((0, 2))
