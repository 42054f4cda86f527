"""Residuals of a weighted cross-entropy, against autograd."""

import pytest
import torch

from backbench.heads.residuals import by_operations, residuals


@pytest.mark.parametrize("form", [residuals, by_operations])
def test_residuals_are_the_gradient_by_the_logits(form) -> None:
    made = torch.Generator().manual_seed(0)
    z = torch.randn((3, 2, 5), generator=made, requires_grad=True)
    target = torch.softmax(torch.randn((5, 3), generator=made), 1)
    w = torch.tensor([[1.0, 0], [2, 0], [0, 1], [0.5, 3], [1, 1]])
    loss = -(torch.log_softmax(z, 0) * target.T[:, None] * (w / w.sum(0)).T).sum()
    loss.backward()
    p = torch.softmax(z.detach(), 0)
    pull = form(p, target, w)
    torch.testing.assert_close(p, z.grad)
    torch.testing.assert_close(pull, z.grad.sum(2))


@pytest.mark.parametrize("form", [residuals, by_operations])
def test_a_slot_without_training_rows_in_a_batch_learns_nothing(form) -> None:
    p = torch.full((3, 1, 4), 1 / 3)
    pull = form(p, torch.eye(3)[[0, 1, 2, 0]], torch.zeros((4, 1)))
    assert not p.any()
    assert not pull.any()
