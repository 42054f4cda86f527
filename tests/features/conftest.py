"""A bench to extract on, and sample sets in files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from backbench.samples import Samples
from features_bench import Bench, picture_files


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], Samples]:
    """Makes sample sets of PNG files."""
    return partial(picture_files, tmp_path)
