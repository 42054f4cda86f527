"""What the tracking container's log says while its parts do not come up."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy
from botocore.exceptions import ClientError, EndpointConnectionError

import servers
from own_service import Running

SCRIPT = Path(__file__).parents[2] / "service" / "wait_for_parts.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("wait_for_parts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", -1.0)
    return module


def test_a_wrong_password_is_said_in_postgresqls_words_and_not_shown(
    script: ModuleType, service: Running, monkeypatch: pytest.MonkeyPatch
):
    port = service.settings["SERVICE_DATABASE_PORT"]
    monkeypatch.setenv("PGPASSWORD", "not-the-password")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"postgresql://mlflow@127.0.0.1:{port}/mlflow")
    line = script.wait("the database", script.database)
    assert line.startswith("failed: the database does not work (OperationalError: FATAL:")
    assert 'password authentication failed for user "mlflow"' in line
    assert "not-the-password" not in line
    assert "\n" not in line


def test_a_database_that_is_not_there_is_said(script: ModuleType, monkeypatch):
    uri = f"postgresql://mlflow:secret@127.0.0.1:{servers.free_port()}/mlflow"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", uri)
    line = script.wait("the database", script.database)
    assert "Connection refused" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ClientError({"Error": {"Code": "NoSuchBucket"}}, "PutObject"),
            "ClientError: NoSuchBucket",
        ),
        (EndpointConnectionError(endpoint_url="http://key:secret@x"), "EndpointConnectionError"),
        (OSError("http://key:secret@x"), "OSError"),
        (sqlalchemy.exc.ArgumentError("postgresql://mlflow:secret@x"), "ArgumentError"),
    ],
)
def test_a_failure_is_named_without_the_addresses_in_its_text(script, error, said):
    def check() -> None:
        raise error

    assert script.wait("the bucket", check) == f"failed: the bucket does not work ({said})"
