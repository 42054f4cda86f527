"""AdamW over columns that are standardised by algebra, against torch's on standardised columns."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbench.heads import train
from backbench.heads.adamw import BETA1, BETA2, StandardisedAdamW

from .conftest import softmax

CLASSES, SLOTS, WIDTH, ROWS = 3, 2, 20, 16
LR, DECAY = 0.05, 0.3
USED = [*range(WIDTH - 2), WIDTH - 1]


def begun(dtype: torch.dtype = torch.float32) -> StandardisedAdamW:
    """Random weights; the column before the last is constant in training, so it has no scale."""
    made = torch.Generator().manual_seed(0)
    W = torch.randn((CLASSES, SLOTS, WIDTH), generator=made)
    mean = torch.randn((SLOTS, WIDTH), generator=made)
    scale = torch.rand((SLOTS, WIDTH), generator=made) + 0.5
    scale[:, -2] = 0
    return StandardisedAdamW(W, mean, scale, DECAY, dtype)


def descend(weights: StandardisedAdamW, steps: int, step) -> None:
    """Steps of a fixed quadratic loss whose residual is `logits - target`."""
    made = torch.Generator().manual_seed(1)
    for count in range(1, steps + 1):
        z = torch.randn((ROWS, WIDTH), generator=made)
        target = torch.randn((CLASSES, SLOTS, ROWS), generator=made)
        logits = weights.V.float() @ z.T - weights.offset[:, :, None]
        residual = logits - target
        weights.gradient.copy_(residual @ z)
        step(weights, residual.sum(2), count)


def compiled(weights: StandardisedAdamW, pull: torch.Tensor, _: int) -> None:
    weights.step(pull, LR)


def by_operations(weights: StandardisedAdamW, pull: torch.Tensor, count: int) -> None:
    weights.move(pull, 1 - LR * DECAY, LR / (1 - BETA1**count), (1 - BETA2**count) ** -0.5)


@pytest.mark.parametrize("step", [compiled, by_operations])
def test_steps_are_those_of_torch_on_standardised_columns(step) -> None:
    weights = begun()
    mean, scale = weights.mean, weights.scale
    theirs = [torch.nn.Parameter(weights.standardised(slot)) for slot in range(SLOTS)]
    adamw = torch.optim.AdamW(theirs, lr=LR, weight_decay=DECAY)
    made = torch.Generator().manual_seed(1)
    for _ in range(30):
        z = torch.randn((ROWS, WIDTH), generator=made)
        target = torch.randn((CLASSES, SLOTS, ROWS), generator=made)
        loss = torch.zeros(())
        for slot, W in enumerate(theirs):
            standardised = (z - mean[slot]) * scale[slot]
            loss = loss + 0.5 * ((W @ standardised.T - target[:, slot]) ** 2).sum()
        adamw.zero_grad()
        loss.backward()
        adamw.step()
    descend(weights, 30, step)
    for slot, W in enumerate(theirs):
        torch.testing.assert_close(
            weights.standardised(slot)[:, USED], W.data[:, USED], rtol=1e-4, atol=1e-4
        )


def test_the_offset_is_what_the_mean_would_score() -> None:
    weights = begun()
    descend(weights, 3, compiled)
    expected = torch.einsum("csd,sd->cs", weights.V, weights.mean)
    torch.testing.assert_close(weights.offset, expected, rtol=1e-5, atol=1e-5)


def test_compiled_steps_in_bf16_are_those_by_operations() -> None:
    one, other = begun(torch.bfloat16), begun(torch.bfloat16)
    descend(one, 5, compiled)
    descend(other, 5, by_operations)
    assert one.V.dtype == torch.bfloat16
    torch.testing.assert_close(one.standardised(1), other.standardised(1), rtol=1e-2, atol=1e-2)


LARGE = 2.0**100


@given(st.lists(st.floats(-LARGE, LARGE, width=32), min_size=1, max_size=40))
def test_weights_are_rounded_to_bf16_as_torch_rounds(values: list[float]) -> None:
    W = torch.tensor(values, dtype=torch.float32)[None, None]
    frame = torch.zeros_like(W[0]), torch.ones_like(W[0])
    weights = StandardisedAdamW(W, *frame, 0.0, torch.bfloat16)
    weights.V.zero_()
    weights.step(torch.zeros((1, 1)), 0.0)
    assert torch.equal(weights.V, W.bfloat16())


def test_bf16_products_move_probabilities_far_less_than_another_seed(case) -> None:
    table = {"kind": "linear", "epochs": 12, "patience": 0}
    units = case.units(1, 2)
    fp32 = train(table, case.problem, units)
    bf16 = train(table | {"precision": "bf16"}, case.problem, units)
    half = len(units) // 2

    def apart(a, b) -> float:
        pairs = zip(a, b, strict=True)
        return float(
            np.mean([np.abs(softmax(x.logits) - softmax(y.logits)).mean() for x, y in pairs])
        )

    assert 0 < apart(fp32, bf16) < 0.1 * apart(fp32[:half], fp32[half:])
