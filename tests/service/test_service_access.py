"""Who may do what, against the real server."""

import base64
import http.client
import json
import os
import time
import uuid
from pathlib import Path

import pytest

import servers
from backbench.errors import TrackingError
from backbench.files import bucket
from backbench.pipeline.service_settings import Settings
from backbench.runs import connection, health
from own_service import Running

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MLFLOW = "/api/2.0/mlflow"
READER = ("reader", "a reader's password")
_PLACES = [
    f"{MLFLOW}/experiments/search?max_results=1",
    f"{ARTIFACTS}?path=",
    f"{ARTIFACTS}/1/x/artifacts/y",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    f"{MLFLOW}/users/get?username=admin",
    "/get-artifact?path=x&run_uuid=y",
    "/graphql",
    "/",
]
_CLIMBING = [
    "../private/planted.txt",
    "../../private/planted.txt",
    "..%2Fprivate%2Fplanted.txt",
    "%2e%2e/private/planted.txt",
    "%252e%252e%252fprivate%252fplanted.txt",
    "1/../../private/planted.txt",
    "/private/planted.txt",
    "%2Fetc%2Fhostname",
    "file:%2F%2F%2Fetc%2Fhostname",
]
_ODD = ["..%5Cprivate%5Cplanted.txt", "1/x/%00/planted.txt"]


def _ask(
    settings: Settings,
    method: str,
    path: str,
    user: tuple[str, str] | None = None,
    body: object = None,
    **headers: str,
) -> tuple[int, bytes]:
    """A request whose path is sent as it is: client libraries would tidy it."""
    if user:
        token = base64.b64encode(":".join(user).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    if content and not isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
    port = int(settings["SERVICE_TRACKING_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, read


def _admin(settings: Settings) -> tuple[str, str]:
    return settings["SERVICE_ADMIN_USERNAME"], settings["SERVICE_ADMIN_PASSWORD"]


@pytest.fixture(scope="module")
def run(service: Running) -> tuple[str, str]:
    """An experiment and a run of the administrator, and a reader who may only read."""
    settings, admin = service.settings, _admin(service.settings)
    user = {"username": READER[0], "password": READER[1]}
    assert _ask(settings, "POST", f"{MLFLOW}/users/create", admin, user)[0] == 200
    name = {"name": uuid.uuid4().hex}
    status, answer = _ask(settings, "POST", f"{MLFLOW}/experiments/create", admin, name)
    assert status == 200, answer
    experiment = json.loads(answer)["experiment_id"]
    answer = _ask(settings, "POST", f"{MLFLOW}/runs/create", admin, {"experiment_id": experiment})[
        1
    ]
    return experiment, json.loads(answer)["run"]["info"]["run_id"]


@pytest.mark.parametrize("path", _PLACES)
def test_nobody_in_particular_is_asked_who_they_are(service: Running, path: str):
    assert _ask(service.settings, "GET", path)[0] == 401


@pytest.mark.parametrize("password", ["", "password", "password1234", "admin", "wrong"])
def test_no_default_password_opens_the_door(service: Running, password: str):
    path = f"{MLFLOW}/experiments/search?max_results=1"
    assert _ask(service.settings, "GET", path, ("admin", password))[0] == 401


def test_the_health_page_needs_no_password(service: Running):
    assert _ask(service.settings, "GET", "/health")[0] == 200


def test_a_reader_reads(service: Running, run: tuple[str, str]):
    status, answer = _ask(service.settings, "GET", f"{MLFLOW}/runs/get?run_id={run[1]}", READER)
    assert status == 200
    assert json.loads(answer)["run"]["info"]["run_id"] == run[1]


def test_a_reader_cannot_write(service: Running, run: tuple[str, str]):
    """Metrics, params, tags, new runs, deletions, artifacts, users: 403, and nothing changed."""
    experiment, run_id = run
    artifact = f"{ARTIFACTS}/{experiment}/{run_id}/artifacts/planted.txt"
    metric = {"run_id": run_id, "key": "f1", "value": 1.0, "timestamp": 0}
    attempts = [
        ("POST", f"{MLFLOW}/runs/log-metric", metric),
        ("POST", f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "metrics": [metric]}),
        ("POST", f"{MLFLOW}/runs/log-parameter", {"run_id": run_id, "key": "a", "value": "b"}),
        ("POST", f"{MLFLOW}/runs/set-tag", {"run_id": run_id, "key": "a", "value": "b"}),
        ("POST", f"{MLFLOW}/runs/create", {"experiment_id": experiment}),
        ("POST", f"{MLFLOW}/runs/delete", {"run_id": run_id}),
        ("POST", f"{MLFLOW}/experiments/delete", {"experiment_id": experiment}),
        ("POST", f"{MLFLOW}/users/create", {"username": "x", "password": "x" * 20}),
        ("PATCH", f"{MLFLOW}/users/update-admin", {"username": READER[0], "is_admin": True}),
        ("PUT", artifact, b"planted"),
        ("DELETE", artifact, None),
    ]
    for method, path, body in attempts:
        assert _ask(service.settings, method, path, READER, body)[0] == 403, (method, path)
    answer = _ask(service.settings, "GET", f"{MLFLOW}/runs/get?run_id={run_id}", READER)[1]
    data = json.loads(answer)["run"]["data"]
    assert "metrics" not in data
    assert "params" not in data


def test_the_doctor_says_to_a_reader_where_he_may_write(
    service: Running, run: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    """In an experiment that his task will make, twice; not in the administrator's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", service.settings.tracking_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", READER[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", READER[1])
    for _ in range(2):
        assert health.write_tag("not there yet") == "backbench-doctor-reader"
    connected = connection.connect()
    assert health.write_registry() == len(connected.search_registered_models())
    assert "backbench-doctor-reader" not in [e.name for e in connected.search_experiments()]
    theirs = connected.get_experiment(run[0]).name
    with pytest.raises(TrackingError, match=r"does not allow this \(403\).*Ask its administrator"):
        health.write_tag(theirs)


@pytest.fixture(scope="module")
def outside(service: Running):
    """An object in another bucket of the same store, which the server's credentials could reach."""
    settings = service.settings
    keys = settings["SERVICE_STORE_ACCESS_KEY"], settings["SERVICE_STORE_SECRET_KEY"]
    client = servers.s3_client(servers.Store(settings["SERVICE_STORE_URL"], "private", *keys, 0))
    client.create_bucket(Bucket="private")
    client.put_object(Bucket="private", Key="planted.txt", Body=b"planted")
    return lambda: [
        (item["Key"], client.get_object(Bucket="private", Key=item["Key"])["Body"].read())
        for item in client.list_objects_v2(Bucket="private")["Contents"]
    ]


@pytest.mark.parametrize("path", _CLIMBING + _ODD)
def test_the_artifact_proxy_stays_under_its_root(service: Running, outside, path: str):
    """Even for the administrator; what has `..` or begins at `/` is refused outright."""
    settings, admin = service.settings, _admin(service.settings)
    place = f"{ARTIFACTS}/{path}"
    status, content = _ask(settings, "GET", place, admin)
    assert status >= 400
    assert content != b"planted"
    status = _ask(settings, "PUT", place, admin, b"overwritten")[0]
    assert 400 <= status < 500 or path in _ODD
    _ask(settings, "DELETE", place, admin)
    status, content = _ask(settings, "GET", f"{ARTIFACTS}?path={path}", admin)
    assert status >= 400 or json.loads(content).get("files", []) == []
    assert outside() == [("planted.txt", b"planted")]
    with settings.store_access():
        keys = [info.key for info in bucket.list_keys(settings.bucket_uri)]
    assert not any("planted" in key for key in keys)


def test_a_foreign_host_name_is_refused(service: Running):
    """DNS rebinding: the browser's name for us has to be one of ours."""
    path, admin = f"{MLFLOW}/experiments/search?max_results=1", _admin(service.settings)
    assert _ask(service.settings, "GET", path, admin, Host="evil.example")[0] == 403
    own = f"localhost:{service.settings['SERVICE_TRACKING_PORT']}"
    assert _ask(service.settings, "GET", path, admin, Host=own)[0] == 200


def test_another_site_cannot_write_through_a_visitors_browser(service: Running):
    path, admin = f"{MLFLOW}/experiments/create", _admin(service.settings)
    body = {"name": uuid.uuid4().hex}
    origin = "https://evil.example"
    assert _ask(service.settings, "POST", path, admin, body, Origin=origin)[0] == 403
    own = f"https://{service.settings['SERVICE_HOST']}"
    assert _ask(service.settings, "POST", path, admin, body, Origin=own)[0] == 200


def test_a_database_that_refuses_the_password_says_so_at_once(
    service: Running, monkeypatch: pytest.MonkeyPatch
):
    """MLflow by itself tries ten times, longer each time."""
    secret = service.settings["SERVICE_DATABASE_PASSWORD"]
    uri = service.settings.database_uri("mlflow").replace(secret, "guessed-it")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    start = time.monotonic()
    with pytest.raises(TrackingError, match="password authentication failed") as told:
        connection.connect()
    assert time.monotonic() - start < 30
    assert "guessed-it" not in str(told.value)


def test_the_store_itself_asks_for_credentials(service: Running):
    url = service.settings["SERVICE_STORE_URL"]
    assert servers.status_of(f"{url}/mlflow") == 403
    assert servers.status_of(f"{url}/mlflow/x", method="PUT") == 403


def test_artifacts_go_to_the_bucket_and_come_back(client_environment: Settings, tmp_path: Path):
    """Through the proxy, back through a presigned address of the store."""
    import mlflow

    assert mlflow.get_tracking_uri() == client_environment.tracking_uri
    source = tmp_path / "features.h5"
    source.write_bytes(os.urandom(9 << 20))
    with mlflow.start_run(experiment_id=mlflow.create_experiment(uuid.uuid4().hex)) as run:
        mlflow.log_metric("f1", 0.5)
        mlflow.log_artifact(str(source), "features")
    copy = mlflow.artifacts.download_artifacts(
        f"runs:/{run.info.run_id}/features/features.h5", dst_path=str(tmp_path / "back")
    )
    assert Path(copy).read_bytes() == source.read_bytes()
    with client_environment.store_access():
        keys = [i.key for i in bucket.list_keys(client_environment.bucket_uri)]
    assert any(key.endswith(f"{run.info.run_id}/artifacts/features/features.h5") for key in keys)


def test_no_secret_is_written_or_shown(service: Running, run: tuple[str, str]):
    """Logs, data files, temporary files, what `up` said, and the arguments that `ps` shows."""
    values = service.settings.values
    names = [name for name in values if name.endswith(("PASSWORD", "SECRET", "SECRET_KEY"))]
    secrets = {values[name].encode(): name for name in names}
    assert len(secrets) == 4
    written = [p for p in service.data.parent.rglob("*") if p.is_file() and p.name != ".env"]
    assert len(written) > 100
    for path in written:
        content = path.read_bytes()
        assert not [name for secret, name in secrets.items() if secret in content], path
    assert len(service.processes) >= 4
    for pid in service.processes:
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not [name for secret, name in secrets.items() if secret in shown], shown
