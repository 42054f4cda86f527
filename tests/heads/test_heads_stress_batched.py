"""Many units as one computation, as on an accelerator: the numbers of units by themselves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backbench.heads.stress_batched import train_batched
from backbench.heads.stress_data import Course
from backbench.heads.stress_unit import train_unit
from backbench.heads.table import settings_of
from backbench.heads.unit import Means, Unit

from .stress_case import QUICK, make_plants, units


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def course(problem, **changes):
    table = QUICK | {"precision": "fp32", "lr": 0.003} | changes
    return Course.of(problem.X, problem.series, settings_of(table))


def furthest(first, second):
    pairs = [(first.logits, second.logits), (first.val_logits, second.val_logits)]
    return max(np.abs(a - b).max() for a, b in pairs)


@pytest.mark.parametrize(
    "changes", [{}, {"fusion": "concat", "temporal": "mlp"}, {"modalities": ("image",)}]
)
def test_units_in_one_computation_are_those_by_themselves(changes):
    problem, folds = make_plants()
    shared = course(problem, dropout=0.0, epochs=6, patience=2, **changes)
    asked = units(folds[:3], 1, 2)
    together = train_batched(shared, asked, Means("cpu", 2 << 30, 1))
    for unit, result in zip(asked, together, strict=True):
        alone = train_unit(shared, unit, lambda _: None)
        assert (result.unit, result.chosen["epoch"]) == (unit, alone.chosen["epoch"])
        assert furthest(result, alone) < 1e-3
        for name, losses in alone.history.items():
            np.testing.assert_allclose(result.history[name], losses, rtol=1e-3)


def test_units_in_one_computation_need_no_validation_rows_either():
    problem, folds = make_plants()
    bare = [Unit(replace(fold, val=fold.val[:0]), 1) for fold in folds[:2]]
    for result in train_batched(course(problem, patience=0), bare, Means("cpu", 2 << 30, 1)):
        assert set(result.history) == {"train_loss"}
        assert result.chosen == {"epoch": QUICK["epochs"]}


def test_bf16_and_dropout_train_as_well_and_company_does_not_matter():
    problem, folds = make_plants()
    shared, seen = course(problem, precision="bf16", lr=0.01), []
    asked = units(folds[:2], 1, 2)
    means = Means("cpu", 2 << 30, 1, lambda *at: seen.append(at))
    means.expect(16)
    together = train_batched(shared, asked, means)
    (alone,) = train_batched(shared, asked[2:3], Means("cpu", 2 << 30, 1))
    assert furthest(alone, together[2]) < 0.05
    assert seen[-1] == (16, 16)
    losses = together[0].history["train_loss"]
    assert losses[-1] < losses[0]


def test_memory_decides_how_many_units_go_at_once_but_not_what_they_become():
    problem, folds = make_plants()
    shared = course(problem, epochs=2, patience=0)
    wide, narrow = (
        train_batched(shared, units(folds[:2]), Means("cpu", memory, 1)) for memory in (2 << 30, 1)
    )
    for a, b in zip(wide, narrow, strict=True):
        assert furthest(a, b) < 1e-4
