"""What the gradient of a weighted cross-entropy is by the logits, in one reading of them.

For the probabilities p of slot s, targets t and weights w of a batch it is

    (p_cs - t_c) * w_s / sum_i w_is

of which the sum over the batch is what a shift of all features would pull at.
"""

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
    p.sub_(target.T[:, None]).mul_((w / w.sum(0).clamp_min(_NOBODY)).T)
    return p.sum(2)


@compiled
def _residuals(p: Floats, target: Floats, w: Floats, sums: Floats) -> None:
    classes, slots, rows = p.shape
    for s in range(slots):
        whole = 0.0
        for b in range(rows):
            whole += w[b, s]
        share = 1 / max(whole, _NOBODY)
        for c in range(classes):
            total = 0.0
            for b in range(rows):
                p[c, s, b] = (p[c, s, b] - target[b, c]) * (w[b, s] * share)
                total += p[c, s, b]
            sums[c, s] = total
