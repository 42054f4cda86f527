"""What every test gets: a home of its own, no network hub, no tracking server of the user's."""

import os
from pathlib import Path

import pytest

from empty_store import make_database

# Before any library looks: tests are offline and quiet.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test processes share two cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

_OURS = ("BACKBENCH_", "MLFLOW_", "AWS_", "S3_", "B2_", "SLURM_")
_KEPT = {"MLFLOW_DISABLE_TELEMETRY"}


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder, and none of the user's settings."""
    for name in os.environ:
        if name.startswith(_OURS) and name not in _KEPT:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("BACKBENCH_HOME", str(home))
    monkeypatch.chdir(tmp_path_factory.mktemp("folder"))
    return home


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, for `copy_database`."""
    return make_database(tmp_path_factory.mktemp("database"))
