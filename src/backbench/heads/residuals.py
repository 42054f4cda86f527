"""What the gradient of a weighted cross-entropy is by the logits, in one reading of them.

For the probabilities p of slot s, targets t and weights w of a batch it is

    (p_cs - t_c) * w_s / sum_i w_is

of which the sum over the batch is what a shift of all features would pull at.
"""

import numpy as np
import torch

from backbench.heads.compiled import Floats, compiled

Tensor = torch.Tensor
_NOBODY = 1e-12
"""A slot without a training row in a batch learns nothing from it."""


def residuals(p: Tensor, target: Tensor, w: Tensor) -> Tensor:
    """Turn probabilities `[C, S, B]` into residuals, in place; returns their sums `[C, S]`.

    Args:
        p: float32.
        target: `[B, C]`.
        w: `[B, S]`, not negative.
    """
    if p.device.type != "cpu":
        return by_operations(p, target, w)
    sums = torch.empty(p.shape[:2])
    _residuals(p.numpy(), target.numpy(), w.numpy(), sums.numpy())
    return sums


def by_operations(p: Tensor, target: Tensor, w: Tensor) -> Tensor:
    """The same on any device."""
    p.sub_(target.T[:, None]).mul_(shares(w).T)
    return p.sum(2)


def shares(w: Tensor) -> Tensor:
    """What each row of a batch has of the weight of a slot `[B, S]`, of weights `[B, S]`."""
    return w / w.sum(0).clamp_min(_NOBODY)


@compiled
def _residuals(p: Floats, target: Floats, w: Floats, sums: Floats) -> None:
    classes, slots, rows = p.shape
    target_of = np.ascontiguousarray(target.T)  # side by side, as p is, for vector operations
    share = np.empty(rows, np.float32)
    for s in range(slots):
        whole = np.float32(0)
        for b in range(rows):
            share[b] = w[b, s]
            whole += share[b]
        share /= max(whole, np.float32(_NOBODY))
        for c in range(classes):
            total = np.float32(0)
            for b in range(rows):
                p[c, s, b] = (p[c, s, b] - target_of[c, b]) * share[b]
                total += p[c, s, b]
            sums[c, s] = total
