"""How many processes load pictures, and that they end."""

import subprocess
import sys
from pathlib import Path

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


ENDS_IN_AN_ERROR = """
from features_bench import TRANSFORM, in_memory
from backbench.features.loading import Pictures, batches

def use(stream):
    next(stream)
    raise RuntimeError("a bug")

order = [[row] for row in range(40)]
with batches(Pictures(in_memory(40).source, TRANSFORM), order, workers=2, pin=False) as stream:
    use(stream)
"""


def test_an_error_that_nothing_catches_ends_the_process_and_its_workers() -> None:
    """Its traceback holds the stream until the very end, where daemons are asked to end."""
    run = [sys.executable, "-c", ENDS_IN_AN_ERROR]
    tests = Path(__file__).parents[1]
    done = subprocess.run(run, cwd=tests, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: a bug\n")
