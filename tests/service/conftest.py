"""One real service for the tests of this folder."""

from collections.abc import Iterator

import pytest

from backbench.pipeline.service_settings import Settings
from own_service import Running, running_service


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    with running_service() as running:
        yield running


@pytest.fixture
def client_environment(service: Running, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """MLflow's usual variables, as the administrator has them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", service.settings.tracking_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", service.settings["SERVICE_ADMIN_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", service.settings["SERVICE_ADMIN_PASSWORD"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    return service.settings
