"""The network is the one that is defined, and packing and padding change none of its numbers."""

import numpy as np
import pytest
import torch

from backbench.heads.settings import StressSettings
from backbench.heads.stress_data import Course, Plants
from backbench.heads.stress_network import Network
from backbench.heads.stress_unit import seeded

from .stress_case import STEPS, WIDTHS, make_plants, plain

REAL = {"image": 768, "fluor": 94, "env": 5, "vi": 11}


def course(**changes):
    problem, folds = make_plants()
    settings = StressSettings(width=16, precision="fp32", **changes)
    return Course.of(problem.X, problem.series, settings), folds[0]


def asked(shared, fold, rows=None, *, packed=False):
    """A batch and its steps: of the training rows, all steps or packed ones."""
    plants, rows = Plants(shared), fold.train if rows is None else rows
    where = torch.from_numpy(rows)
    most = int(plants.kept[rows].max())
    steps = plants.packed(where, most) if packed else plants.all_steps(where)
    return plants.batch(steps, plants.scaled(shared.fit(fold.train))), steps


def stirred(shared):
    """A network whose query and tokens are not where they began."""
    network = seeded(shared.settings, shared.widths, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.manual_seed(1)) * 0.2)
    return network


def test_the_real_network_has_618309_parameters():
    assert sum(p.numel() for p in Network(StressSettings(), REAL).parameters()) == 618_309


@pytest.mark.parametrize("causal", [False, True])
def test_it_computes_what_plain_modules_of_torch_compute(causal):
    shared, fold = course(causal_mask=causal)
    network = stirred(shared)
    written = plain()
    other = written.Plain(tuple(WIDTHS.values()), 16, causal=causal).eval()
    with torch.no_grad():
        for theirs, ours in zip(other.parameters(), network.parameters(), strict=True):
            theirs.copy_(ours)
    channels = {n: c.values for n, c in shared.channels.items()}
    channels |= {f"{n}_observed": c.observed for n, c in shared.channels.items()}
    inputs = written.prepare(
        {"X": shared.X, "picture": shared.picture, "day": shared.day} | channels, fold.train
    )
    for values in inputs[2]:
        values[..., 0] = 0  # constant: standardised by rounding errors there, and by 0 here
    rows = np.arange(len(shared.y))
    batch, _ = asked(shared, fold, rows)
    for name, values in zip(("fluor", "env", "vi"), inputs[2], strict=True):
        assert torch.allclose(batch.values[name], values, atol=1e-4)
    with torch.no_grad():
        ours = network(batch)
        theirs = written.ask(other, inputs, torch.from_numpy(rows))
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"causal_mask": True},
        {"fusion": "concat"},
        {"temporal": "mlp"},
        {"temporal": "none"},
        {"modalities": ("fluor", "env", "vi")},
        {"modalities": ("env",)},
    ],
)
def test_packed_steps_give_the_logits_and_gradients_of_all_steps(changes):
    shared, fold = course(**changes)
    network = stirred(shared)
    found = []
    for packed in (False, True):
        batch, steps = asked(shared, fold, packed=packed)
        z = network(batch)[steps.scored]
        network.zero_grad()
        z.square().sum().backward()
        found.append([z.detach(), *(p.grad.clone() for p in network.parameters())])
    assert len(found[0][0]) == shared.scored[fold.train].sum()
    for everything, packed in zip(*found, strict=True):
        assert torch.allclose(everything, packed, rtol=1e-3, atol=1e-4)


def test_packing_leaves_steps_out():
    shared, fold = course()
    wide, narrow = (asked(shared, fold, packed=packed)[1].where.shape for packed in (False, True))
    assert narrow[1] < wide[1] == STEPS


def later_steps(**changes):
    """How much the logits of the first four steps change when the others do."""
    shared, fold = course(**changes)
    network, (batch, _) = stirred(shared), asked(shared, fold)
    with torch.no_grad():
        before = network(batch)
        batch.values["vi"][:, 4:] += 5
        after = network(batch)
    return (after - before)[:, :4].abs().max().item()


def test_a_causal_network_does_not_look_ahead():
    assert later_steps(causal_mask=True) == 0
    assert later_steps() > 1e-3


@pytest.mark.parametrize("temporal", ["mlp", "none"])
def test_without_a_transformer_a_step_sees_only_itself(temporal):
    assert later_steps(temporal=temporal) == 0


def test_steps_with_neither_picture_nor_fluorescence_are_not_looked_at():
    shared, fold = course()
    network, (batch, steps) = stirred(shared), asked(shared, fold)
    unseen = ~steps.attended
    assert unseen.any()
    with torch.no_grad():
        before = network(batch)
        batch.values["env"][unseen] += 100
        after = network(batch)
    assert torch.equal(before[~unseen], after[~unseen])
    assert not torch.allclose(before[unseen], after[unseen])


def test_a_view_that_is_missing_has_no_say():
    shared, fold = course()
    network, (batch, _) = stirred(shared), asked(shared, fold)
    with torch.no_grad():
        before = network(batch)
        batch.views[~batch.seen] = 50
        assert torch.equal(before, network(batch))


def test_a_missing_fluorescence_is_the_learned_token_whatever_was_written_there():
    shared, fold = course()
    network, (batch, _) = stirred(shared), asked(shared, fold)
    with torch.no_grad():
        before = network(batch)
        batch.values["fluor"][batch.missing["fluor"]] = 50
        assert torch.equal(before, network(batch))
        network.token["fluor"] += 1
        assert not torch.allclose(before, network(batch))


def test_the_first_weights_are_those_of_the_seed_and_leave_torch_alone():
    shared, _ = course()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (seeded(shared.settings, shared.widths, s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.cls, second.cls)
    assert not torch.equal(first.cls, other.cls)
    assert not first.query.any()
