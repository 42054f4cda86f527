"""What a user reads when the tracking server is not there, or does not want them."""

import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backbench.errors import TaskError, TrackingError, UnreachableError
from backbench.runs import Tracker, recording
from backbench.runs.connection import configure, connect
from backbench.runs.pages import ui_link, ui_root
from backbench.runs.redact import redacted


@pytest.fixture
def answering():
    """Start a server that is healthy and answers everything else with one status."""
    servers = []

    def start(status, health=200, body=b"no"):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                self.send_response(health if self.path == "/health" else status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("uri", "pools"), [("http://x", "0"), ("https://x", None), ("sqlite:///x.db", None)]
)
def test_only_over_plain_http_no_connection_is_kept(uri, pools, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_POOL_CONNECTIONS", "")
    monkeypatch.delenv("MLFLOW_HTTP_POOL_CONNECTIONS")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    configure()
    assert os.environ.get("MLFLOW_HTTP_POOL_CONNECTIONS") == pools


@pytest.mark.parametrize(("pools", "connections"), [("0", 3), ("1", 1)])
def test_mlflow_makes_a_connection_a_request_where_it_keeps_no_pools(
    pools, connections, monkeypatch
):
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.request_utils import _cached_get_request_session
    from mlflow.utils.rest_utils import http_request

    peers = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            peers.add(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    monkeypatch.setenv("MLFLOW_HTTP_POOL_CONNECTIONS", pools)
    _cached_get_request_session.cache_clear()  # earlier tests may have asked for such a session
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        creds = get_default_host_creds(f"http://127.0.0.1:{server.server_port}")
        for _ in range(3):  # MLflow has a session for each number of retries
            http_request(creds, "/", "GET", max_retries=5 + int(pools))
        server.shutdown()
    assert len(peers) == connections


def test_reading_from_a_dead_server_is_one_line_in_a_stated_time(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:sesame-open@127.0.0.1:9")
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
    started = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        Tracker().find({})
    assert time.monotonic() - started < 10
    line = str(caught.value)
    assert "\n" not in line
    assert "http://***@127.0.0.1:9 does not answer (Connection refused)" in line
    assert "BACKBENCH_OFFLINE=1" in line


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for(monkeypatch):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
        started = time.monotonic()
        with pytest.raises(UnreachableError, match="timed out"):
            connect()
        assert time.monotonic() - started < 10


def test_a_gateway_without_its_server_counts_as_unreachable(monkeypatch, answering):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{answering(200, health=503)}")
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", "1")
    with pytest.raises(UnreachableError, match="HTTP 503"):
        connect()


@pytest.mark.parametrize(
    ("status", "body", "cure"),
    [
        (401, b"You are not authenticated.", "MLFLOW_TRACKING_USERNAME"),
        (403, b"Permission denied", "administrator"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "No."}', "administrator"),
    ],
)
def test_refused_credentials_are_told_before_the_work(monkeypatch, answering, status, body, cure):
    uri = f"http://me:sesame-open@{answering(status, body=body)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with (
        pytest.raises(TrackingError, match=cure) as caught,
        recording(experiment="x", name="y"),
    ):
        pytest.fail("the work was begun")
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("ftp://me:sesame-open@host/x", "has to start with http://"),
        ("sqlite:////no/such/folder/mlflow.db", "has no folder /no/such/folder"),
        ("sqlite:////tmp", "is a folder"),
    ],
)
def test_a_uri_that_cannot_work_is_told_at_once(monkeypatch, uri, line):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=line) as caught:
        connect()
    assert "sesame" not in str(caught.value)
    assert not isinstance(caught.value, UnreachableError)


def test_a_postgresql_that_is_down_is_not_retried_for_a_minute(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:sesame-open@127.0.0.1:9/mlflow")
    started = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        connect()
    assert time.monotonic() - started < 10
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("value", ["soon", "nan", "-5"])
def test_a_timeout_that_is_no_duration_is_told(monkeypatch, value):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BACKBENCH_TRACKING_TIMEOUT", value)
    with pytest.raises(TaskError, match=f"'{value}', but has to be a number of seconds"):
        connect()


def test_a_link_is_there_only_with_a_server(monkeypatch):
    assert ui_link("1", "a", ui_root()) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:sesame-open@host:5000/")
    assert ui_link("1", "a", ui_root()) == "http://***@host:5000/#/experiments/1/runs/a"


def test_values_of_secret_variables_are_struck_out_and_short_words_are_not(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "admin")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    assert redacted("admin hf_abcdefgh") == "admin ***"


@pytest.mark.parametrize(
    "name",
    ["B2_APPLICATION_KEY", "APPLICATIONKEY", "SSH_PASSPHRASE", "DEPLOY_PRIVATE_KEY"],
)
def test_other_names_of_secrets_are_known_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "K004abcdefgh")
    assert redacted("refused K004abcdefgh") == "refused ***"


@pytest.mark.parametrize(
    "given",
    [
        "X-Amz-Signature=0a1b2c",
        "X-Amz-Credential=AKIA%2F20261122%2Fus%2Fs3%2Faws4_request",
        "X-Amz-Security-Token=FwoG%2BZXI",
        "AWSAccessKeyId=AKIAXYZ",
        "Signature=vjbyPx%3D",
        "sig=abc%2F",
    ],
)
def test_what_signs_an_address_is_struck_out(given: str) -> None:
    name, _, value = given.partition("=")
    text = redacted(f"GET https://s3.example/b/k?{given}&X-Amz-Expires=60 and ?a=1&{given}")
    assert value not in text
    assert text.count(f"{name}=***") == 2
    assert "X-Amz-Expires=60" in text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (r"?a=1\u0026X-Amz-Signature=abc\u0026b=2", r"?a=1\u0026X-Amz-Signature=***\u0026b=2"),
        ("k%3FX-Amz-Signature%3Dabc%26b%3D2", "k%3FX-Amz-Signature%3D***%26b%3D2"),
        ("http://u:p@ss@host/a@1", "http://***@host/a@1"),
        ("http://u:pa/ss@host:5000/a", "http://***@host:5000/a"),
        ("http://h:80/a,http://u:pa/ss@host", "http://h:80/a,http://***@host"),
    ],
)
def test_secrets_are_struck_out_however_an_address_is_written(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/a@1?b=c",
        "http://[::1]:5000/a@1",
        "https://host/wiki/A:B/c@d",
        "s3://bucket/a:b@c of me@host",
        "Signature=abc, a sig=1 and 50%26",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_the_time_to_strike_out_grows_with_the_length_only() -> None:
    for text in ("://a:b" * 100_000, "://" + "a:" * 300_000, "?sig%3D" * 100_000):
        start = time.process_time()
        redacted(text)
        assert time.process_time() - start < 2
