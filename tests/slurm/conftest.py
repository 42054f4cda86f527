"""One real cluster with accounting for all tests of this folder, and a question asked of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbench.pipeline.question import Question
from empty_store import copy_database
from slurm_cluster import Cluster, cluster
from small_task import small_task


@pytest.fixture(scope="package")
def _running() -> Iterator[Cluster]:
    with cluster(2, accounting=True) as made:
        yield made


@pytest.fixture
def slurm(_running: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, empty before and after."""
    monkeypatch.setenv("SLURM_CONF", str(_running.conf))
    yield _running
    _running.clear()


@pytest.fixture
def question(own_home: Path, empty_database: Path) -> Question:
    """60 digits, 4 folds, 2 seeds, in the working folder."""
    copy_database(empty_database, Path.cwd())
    small_task(Path.cwd())
    return Question.ask("small.toml")
