"""How many processes load pictures."""

import pytest

from backbench.features import loading
from backbench.features.loading import sensible_workers


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_hands", lambda: 4)


def test_a_network_on_the_same_cores_has_no_workers_beside_it() -> None:
    assert sensible_workers(0.002, 0.1, 1, apart=False) == 0


def test_slow_reading_is_overlapped_even_there() -> None:
    assert sensible_workers(0.2, 0.1, 1, apart=False) == 4


@pytest.mark.parametrize(("loading", "workers"), [(0.0025, 1), (0.005, 2), (0.1, 4)])
def test_a_network_of_its_own_is_kept_fed(loading: float, workers: int) -> None:
    """`loading` is what four together take, so one alone takes four times as long."""
    assert sensible_workers(loading, 0.01, 1, apart=True) == workers


def test_batches_that_shared_memory_cannot_hold_are_not_made_ahead() -> None:
    assert sensible_workers(0.1, 0.01, 1 << 60, apart=True) == 0
