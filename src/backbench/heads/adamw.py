"""AdamW for weights over standardised columns, where the products are over the frame's.

With `x' = (z - mean) * scale` the logits `x' @ W` are `z @ V - offset`, where `V = scale * W` and
`offset = mean @ V`. A gradient G by V, as a product with z gives it, is by W

    (G - pull * mean) * scale,   pull the sum of the residuals.

That, the moments, the step and the next V and offset take one reading of the weights: on a CPU by
kernels that are compiled at their first call, elsewhere by torch's own operations.

Source: Loshchilov & Hutter 2019, as in `torch.optim.AdamW`, which decays the bias like any weight.
"""

from math import sqrt
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.adamw import adamw

from backbench.files.home import compiled_folder

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

numba.config.CACHE_DIR = numba.config.CACHE_DIR or str(compiled_folder())

Floats = NDArray[np.float32]
Tensor = torch.Tensor


class StandardisedAdamW:
    """Weights `[C, S, width]` of S slots.

    Attributes:
        mean, scale: of each slot `[S, width]`.
        W: over standardised columns, float32.
        V: over the columns of the frame, in the dtype of products.
        gradient: by V, in the dtype of products; for the caller to write before `step`.
        offset: what to take from logits `[C, S]`.
    """

    def __init__(
        self, W: Tensor, mean: Tensor, scale: Tensor, weight_decay: float, dtype: torch.dtype
    ) -> None:
        """Start from W, with `mean` and `scale` `[S, width]` of each slot; products in `dtype`."""
        self._frame, self._weight_decay = torch.stack([mean, scale]), weight_decay
        self.mean, self.scale = self._frame
        self._master = torch.stack([W, torch.zeros_like(W), torch.zeros_like(W)])
        self.W = self._master[0]
        self._products = torch.zeros((2, *W.shape), dtype=dtype, device=W.device)
        self.V, self.gradient = self._products
        self.V.copy_(W * scale)
        self.offset = (self.V * mean).sum(-1)
        self._steps = torch.zeros((), device=W.device)

    def logits(self, slot: int, z: Tensor) -> Tensor:
        """Logits `[n, C]` of one slot on rows of the frame `[n, width]`, in float32."""
        V = self.W[:, slot] * self.scale[slot]
        logits: Tensor = z @ V.T - V @ self.mean[slot]
        return logits

    def step(self, pull: Tensor, lr: float) -> None:
        """Move against `gradient`, whose residuals sum to `pull [C, S]`."""
        if self.W.device.type == "cpu":
            self._step_compiled(pull, lr)
        else:
            self.step_by_operations(pull, lr)

    def _step_compiled(self, pull: Tensor, lr: float) -> None:
        self._steps += 1
        count = self._steps.item()
        rates = (1 - lr * self._weight_decay, lr / (1 - BETA1**count), 1 / sqrt(1 - BETA2**count))
        others = (array.numpy() for array in (self._frame, self.offset, pull))
        if self.V.dtype == torch.bfloat16:  # which numpy does not know
            update, products = _update_bf16, self._products.view(torch.uint16)
        else:
            update, products = _update, self._products
        update(self._master.numpy(), products.numpy(), *others, np.array(rates, np.float32))

    def step_by_operations(self, pull: Tensor, lr: float) -> None:
        """The same on any device."""
        W, first, second = self._master
        gradient = (self.gradient - pull[:, :, None] * self.mean) * self.scale
        adamw(
            [W],
            [gradient],
            [first],
            [second],
            [],
            [self._steps],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=lr,
            weight_decay=self._weight_decay,
            eps=EPS,
            maximize=False,
        )
        self.V.copy_(W * self.scale)
        torch.sum(self.V * self.mean, -1, out=self.offset)


def _compiled(function: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Sums in any order, which vector units need; divisions and roots stay exact."""
    allowed = {"reassoc", "contract", "nsz"}
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=allowed)(function)


@_compiled
def _move(  # noqa: PLR0917
    w: Floats,
    m: Floats,
    q: Floats,
    g: Floats,
    mean: Floats,
    scale: Floats,
    pull: float,
    rates: Floats,
) -> None:
    """One step of a row w of weights with moments m and q, against g, which is spent.

    Each short loop over a row, which stays in the nearest cache, becomes vector operations.
    """
    keep, rate, unbias = rates[0], rates[1], rates[2]
    fresh1, fresh2, keep2 = np.float32(1 - BETA1), np.float32(1 - BETA2), np.float32(BETA2)
    eps = np.float32(EPS)
    for j in range(w.size):
        g[j] = (g[j] - pull * mean[j]) * scale[j]
    for j in range(w.size):
        m[j] += (g[j] - m[j]) * fresh1
    for j in range(w.size):
        q[j] = q[j] * keep2 + g[j] * g[j] * fresh2
    for j in range(w.size):
        w[j] = w[j] * keep - rate * m[j] / (np.sqrt(q[j]) * unbias + eps)


@_compiled
def _dot(a: Floats, b: Floats) -> Any:  # noqa: ANN401 - a float of numba's
    total = np.float32(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@_compiled
def _update(  # noqa: PLR0917
    master: Floats, products: Floats, frame: Floats, offset: Floats, pull: Floats, rates: Floats
) -> None:
    weights, first, second, mean, scale = master[0], master[1], master[2], frame[0], frame[1]
    for c in range(offset.shape[0]):
        for s in range(offset.shape[1]):
            w, v, g = weights[c, s], products[0, c, s], products[1, c, s]
            _move(w, first[c, s], second[c, s], g, mean[s], scale[s], pull[c, s], rates)
            for j in range(v.size):
                v[j] = w[j] * scale[s, j]
            offset[c, s] = _dot(v, mean[s])


@_compiled
def _update_bf16(  # noqa: PLR0917
    master: Floats,
    products: NDArray[np.uint16],
    frame: Floats,
    offset: Floats,
    pull: Floats,
    rates: Floats,
) -> None:
    """A bfloat16 is the upper half of a float32, rounded to the nearest, of two to the even."""
    row = np.empty(frame.shape[2], np.float32)
    bits = row.view(np.uint32)
    weights, first, second, mean, scale = master[0], master[1], master[2], frame[0], frame[1]
    for c in range(offset.shape[0]):
        for s in range(offset.shape[1]):
            w, v, g = weights[c, s], products[0, c, s], products[1, c, s]
            for j in range(v.size):
                bits[j] = np.uint32(g[j]) << np.uint32(16)
            _move(w, first[c, s], second[c, s], row, mean[s], scale[s], pull[c, s], rates)
            for j in range(v.size):
                row[j] = w[j] * scale[s, j]
            for j in range(v.size):
                odd = (bits[j] >> np.uint32(16)) & np.uint32(1)
                v[j] = (bits[j] + np.uint32(0x7FFF) + odd) >> np.uint32(16)
                bits[j] = np.uint32(v[j]) << np.uint32(16)
            offset[c, s] = _dot(row, mean[s])
