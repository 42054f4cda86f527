"""One real S3 server for the tests of this folder."""

from collections.abc import Iterator

import pytest

import servers


@pytest.fixture(scope="session")
def weed_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Store]:
    with servers.weed(tmp_path_factory.mktemp("weed"), bucket="samples") as store:
        yield store


@pytest.fixture
def store(weed_store: servers.Store, monkeypatch: pytest.MonkeyPatch) -> servers.Store:
    """The server, with the environment of a client set."""
    for name, value in weed_store.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL")
    monkeypatch.setenv("BACKBENCH_S3_WAIT_SECONDS", "0.02")
    monkeypatch.setenv("BACKBENCH_S3_READ_SECONDS", "5")
    return weed_store
