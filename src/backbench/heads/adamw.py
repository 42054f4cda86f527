"""AdamW for weights over standardised columns, where the products are over the frame's.

With `x' = (z - mean) * scale` the logits `x' @ W` are `z @ V - offset`, where `V = scale * W` and
`offset = mean @ V`. A gradient G by V, as a product with z gives it, is by W

    (G - pull * mean) * scale,   pull the sum of the residuals.

That, the moments, the step and the next V and offset take one reading of the weights: on a CPU by
compiled kernels, elsewhere by torch's own operations. V is what is kept: `scale` times a step of W
is a step of V.

Source: Loshchilov & Hutter 2019, as in `torch.optim.AdamW`, which decays the bias like any weight.
"""

from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbench.heads.compiled import Floats, compiled

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

Tensor = torch.Tensor


class StandardisedAdamW:
    """Weights `[C, S, width]` of S slots, kept as V: a step reads and writes them once.

    Attributes:
        mean, scale: of each slot `[S, width]`; a column of scale 0 has no say.
        V: in the dtype of products.
        gradient: by V, in the dtype of products; for the caller to write before `step`.
        offset: what to take from logits `[C, S]`.
    """

    def __init__(
        self, W: Tensor, mean: Tensor, scale: Tensor, weight_decay: float, dtype: torch.dtype
    ) -> None:
        """Start from W, with `mean` and `scale` `[S, width]` of each slot; products in `dtype`."""
        self._frame, self._weight_decay, self._steps = torch.stack([mean, scale]), weight_decay, 0
        self.mean, self.scale = self._frame
        self._master = torch.stack([W * scale, torch.zeros_like(W), torch.zeros_like(W)])
        self.V = self._master[0].to(dtype)  # the master itself where that is float32
        self.gradient = torch.zeros_like(self.V)
        self.offset = (self.V * mean).sum(-1)

    def logits(self, slot: int, z: Tensor) -> Tensor:
        """Logits `[n, C]` of one slot on rows of the frame `[n, width]`, in float32."""
        V = self._master[0, :, slot]
        logits: Tensor = (V @ z.T).T - V @ self.mean[slot]  # few classes: twice as fast as z @ V.T
        return logits

    def standardised(self, slot: int) -> Tensor:
        """W of one slot `[C, width]`, float32; 0 where the scale is."""
        scale = self.scale[slot]
        return torch.where(scale > 0, self._master[0, :, slot] / scale, 0.0)

    def step(self, pull: Tensor, lr: float) -> None:
        """Move against `gradient`, whose residuals sum to `pull [C, S]`."""
        self._steps += 1
        keep, rate = 1 - lr * self._weight_decay, lr / (1 - BETA1**self._steps)
        unbias = 1 / sqrt(1 - BETA2**self._steps)
        if self.V.device.type == "cpu":
            update = _update_bf16 if self.V.dtype == torch.bfloat16 else _update
            update(*self._arrays, pull.numpy(), np.array((keep, rate, unbias), np.float32))
        else:
            self.move(pull, keep, rate, unbias)

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        """Views of what is on the CPU; of bfloat16, which numpy does not know, the bits."""
        products = [self.V, self.gradient]
        if self.V.dtype == torch.bfloat16:
            products = [product.view(torch.uint16) for product in products]
        return tuple(a.numpy() for a in (self._master, *products, self._frame, self.offset))

    def move(self, pull: Tensor, keep: float, rate: float, unbias: float) -> None:
        """The step by torch's operations, on any device."""
        master, first, second = self._master
        gradient = (self.gradient - pull[:, :, None] * self.mean) * self.scale
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        change = self.scale * first / (second.sqrt() * unbias + EPS)
        master.mul_(keep).sub_(change, alpha=rate)
        self.V.copy_(master)
        torch.sum(self.V * self.mean, -1, out=self.offset)


@compiled
def _move(  # noqa: PLR0917
    v: Floats,
    m: Floats,
    q: Floats,
    g: Floats,
    mean: Floats,
    scale: Floats,
    pull: float,
    rates: Floats,
) -> Any:  # noqa: ANN401 - a float of numba's
    """One step of a row v of weights with moments m and q, against g; returns `mean @ v`.

    A single loop over six arrays: each value is read once, and all of it becomes vector operations.
    """
    keep, rate, unbias = rates[0], rates[1], rates[2]
    fresh1, fresh2, keep2 = np.float32(1 - BETA1), np.float32(1 - BETA2), np.float32(BETA2)
    eps, shift = np.float32(EPS), np.float32(0)
    for j in range(v.size):
        slope = (g[j] - pull * mean[j]) * scale[j]
        first = m[j] + (slope - m[j]) * fresh1
        second = q[j] * keep2 + slope * slope * fresh2
        weight = v[j] * keep - rate * scale[j] * first / (np.sqrt(second) * unbias + eps)
        m[j], q[j], v[j] = first, second, weight
        shift += weight * mean[j]
    return shift


@compiled
def _update(  # noqa: PLR0917
    master: Floats,
    V: Floats,
    gradient: Floats,
    frame: Floats,
    offset: Floats,
    pull: Floats,
    rates: Floats,
) -> None:
    first, second, mean, scale = master[1], master[2], frame[0], frame[1]
    for c in range(offset.shape[0]):
        for s in range(offset.shape[1]):
            v, m, q, g = V[c, s], first[c, s], second[c, s], gradient[c, s]
            offset[c, s] = _move(v, m, q, g, mean[s], scale[s], pull[c, s], rates)


@compiled
def _update_bf16(  # noqa: PLR0917
    master: Floats,
    V: NDArray[np.uint16],
    gradient: NDArray[np.uint16],
    frame: Floats,
    offset: Floats,
    pull: Floats,
    rates: Floats,
) -> None:
    """A bfloat16 is the upper half of a float32, rounded to the nearest, of two to the even."""
    weights, first, second, mean, scale = master[0], master[1], master[2], frame[0], frame[1]
    row = np.empty(frame.shape[2], np.float32)
    bits = row.view(np.uint32)
    for c in range(offset.shape[0]):
        for s in range(offset.shape[1]):
            w, v, g = weights[c, s], V[c, s], gradient[c, s]
            for j in range(v.size):
                bits[j] = np.uint32(g[j]) << np.uint32(16)
            _move(w, first[c, s], second[c, s], row, mean[s], scale[s], pull[c, s], rates)
            row[:] = w
            for j in range(v.size):
                odd = (bits[j] >> np.uint32(16)) & np.uint32(1)
                v[j] = (bits[j] + np.uint32(0x7FFF) + odd) >> np.uint32(16)
                bits[j] = np.uint32(v[j]) << np.uint32(16)
            offset[c, s] = _dot(row, mean[s])


@compiled
def _dot(a: Floats, b: Floats) -> Any:  # noqa: ANN401 - a float of numba's
    total = np.float32(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total
