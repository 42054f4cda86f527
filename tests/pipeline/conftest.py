"""One chain over two backbones, run once and looked at by many tests."""

import shutil
from pathlib import Path

import pytest

from backbench.pipeline.chain import run_chain
from backbench.pipeline.question import Question
from finished_chain import Chain
from small_task import small_task

BACKBONES = ("pixels", "efficientnet_lite0=untrained")


@pytest.fixture(scope="session")
def _database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, copied to every test: to make one takes two seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def _store(own_home: Path, _database: Path) -> None:
    """The store that plain MLflow would make in the working folder."""
    shutil.copyfile(_database, "mlflow.db")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    done = Chain(folder, str(small_task(folder)))
    with done.entered():
        run_chain(Question.ask(done.task), BACKBONES)
    return done
