"""One chain over two backbones, run once and looked at by many tests."""

from pathlib import Path

import pytest

from backbench.pipeline.chain import run_chain
from backbench.pipeline.question import Question
from empty_store import copy_database
from finished_chain import Chain
from small_task import small_task

BACKBONES = ("pixels", "efficientnet_lite0=untrained")


@pytest.fixture(autouse=True)
def _store(own_home: Path, empty_database: Path) -> None:
    """The store that plain MLflow would make in the working folder."""
    copy_database(empty_database, Path.cwd())


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    done = Chain(folder, str(small_task(folder)))
    with done.entered():
        run_chain(Question.ask(done.task), BACKBONES)
    return done
