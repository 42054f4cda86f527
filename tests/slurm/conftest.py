"""One real cluster with accounting for all tests of this folder, and a question asked of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbench.pipeline.question import Question
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


@pytest.fixture(scope="session")
def _database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: to make one takes two seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def question(own_home: Path, _database: Path) -> Question:
    """60 digits, 4 folds, 2 seeds, in the working folder."""
    shutil.copyfile(_database, "mlflow.db")
    small_task(Path.cwd())
    return Question.ask("small.toml")
