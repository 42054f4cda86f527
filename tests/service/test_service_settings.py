"""`.env`: random, private, never overwritten."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from backbench.cli import backbench
from backbench.errors import StorageError
from backbench.pipeline import service

SECRETS = ("PASSWORD", "SECRET", "_KEY")


def test_init_writes_a_private_file_with_random_passwords(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = service.init(tmp_path / "a"), service.init(tmp_path / "b")
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    one, two = service.read(tmp_path / "a").values, service.read(tmp_path / "b").values
    secret = [name for name in one if name.endswith(SECRETS)]
    assert len(secret) == 5
    assert all(one[name] != two[name] and len(one[name]) >= 20 for name in secret)
    assert second.exists()


def test_nothing_is_published_beyond_this_machine_unless_it_is_named(tmp_path: Path):
    service.init(tmp_path)
    assert service.read(tmp_path)["SERVICE_PUBLISH"] == "127.0.0.1"
    (tmp_path / "lab").mkdir()
    service.init(tmp_path / "lab", host="lab.example.org")
    settings = service.read(tmp_path / "lab")
    assert settings["SERVICE_PUBLISH"] == "0.0.0.0"
    assert settings["SERVICE_STORE_URL"] == "http://lab.example.org:8333"
    assert "lab.example.org:*" in settings["SERVICE_ALLOWED_HOSTS"].split(",")
    assert "https://lab.example.org" in settings["SERVICE_ALLOWED_ORIGINS"].split(",")


def test_ports_are_chosen_at_init_and_every_address_has_them(tmp_path: Path):
    (tmp_path / "other").mkdir()
    ports = ["--tracking-port", "5001", "--store-port", "8433", "--database-port", "55433"]
    for folder, options in ((tmp_path, []), (tmp_path / "other", ports)):
        done = CliRunner().invoke(backbench, ["service", "init", "--folder", str(folder), *options])
        assert done.exit_code == 0, done.output
    usual, other = service.read(tmp_path).values, service.read(tmp_path / "other").values
    changed = {name: other[name] for name in usual if not name.endswith(SECRETS)}
    assert changed == {
        name: usual[name].replace("5000", "5001").replace("8333", "8433").replace("55432", "55433")
        for name in changed
    }
    assert other["SERVICE_STORE_URL"] == "http://localhost:8433"


@pytest.mark.parametrize("host", ["http://lab.example.org", "lab:5000", "a b", "", "-x"])
def test_a_host_is_a_name_alone(tmp_path: Path, host: str):
    with pytest.raises(StorageError, match="a name alone"):
        service.init(tmp_path, host=host)
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize("port", [55432, 8337, 18334])
def test_two_parts_cannot_have_one_port(tmp_path: Path, port: int):
    """The store takes five, and those of gRPC."""
    with pytest.raises(StorageError, match=f"port {port} .*SERVICE_TRACKING_PORT"):
        service.init(tmp_path, tracking_port=port)
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("COMPOSE_PROFILES=lokal", "Allowed: b2, local"),
        ("SERVICE_STORE_PORT=60000", "number from 1 to 55535"),
        ("SERVICE_TRACKING_PORT=five", "number from 1 to 65535"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path: Path, line: str, said: str):
    with service.init(tmp_path).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(StorageError, match=said):
        assert service.read(tmp_path).ports


def test_a_private_file_even_under_a_generous_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        assert stat.S_IMODE(service.init(tmp_path).stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_init_never_overwrites(tmp_path: Path):
    text = service.init(tmp_path).read_text()
    with pytest.raises(StorageError, match="never overwritten"):
        service.init(tmp_path)
    assert (tmp_path / ".env").read_text() == text


def test_b2_takes_its_own_variables_or_those_of_aws(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("S3_ENDPOINT_URL", "https://s3.us-west-004.backblazeb2.com")
    monkeypatch.setenv("B2_REGION", "us-west-004")
    with pytest.raises(StorageError, match="B2_BUCKET or S3_BUCKET"):
        service.init(tmp_path, b2=True)
    monkeypatch.setenv("B2_BUCKET", "lab")
    monkeypatch.setenv("B2_ENDPOINT", "s3.us-west-004.backblazeb2.com")  # as the provider shows it
    with pytest.raises(StorageError, match="begin with https://"):
        service.init(tmp_path, b2=True)
    monkeypatch.delenv("B2_ENDPOINT")
    service.init(tmp_path, b2=True)
    settings = service.read(tmp_path)
    assert not settings.local_store
    assert settings["COMPOSE_PROFILES"] == "b2"
    assert settings.bucket_uri == "s3://lab/"
    assert settings["SERVICE_STORE_URL"] == "https://s3.us-west-004.backblazeb2.com"
    assert settings["SERVICE_STORE_ACCESS_KEY"] == "id"
    assert settings["SERVICE_STORE_SECRET_KEY"] == "secret"


def test_a_missing_or_broken_file_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match="service init"):
        service.read(tmp_path)
    (tmp_path / ".env").write_text("SERVICE_HOST\n")
    with pytest.raises(StorageError, match="line 1"):
        service.read(tmp_path)
    (tmp_path / ".env").write_text("SERVICE_HOST=x\n")
    with pytest.raises(StorageError, match="no SERVICE_TRACKING_PORT"):
        assert service.read(tmp_path).tracking_uri


def test_a_file_that_is_no_text_is_said(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"SERVICE_HOST=\xff\n")
    with pytest.raises(StorageError, match=r"cannot read .*\.env: it is not UTF-8"):
        service.read(tmp_path)
    (tmp_path / "folder" / ".env").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot read .*\.env: Is a directory"):
        service.read(tmp_path / "folder")


def test_the_users_own_store_is_left_alone_afterwards(tmp_path: Path, monkeypatch):
    service.init(tmp_path)
    settings = service.read(tmp_path)
    monkeypatch.setenv("S3_ENDPOINT_URL", "https://elsewhere.example")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    before = dict(os.environ)
    with settings.store_access():
        assert os.environ["AWS_SECRET_ACCESS_KEY"] == settings["SERVICE_STORE_SECRET_KEY"]
        assert "S3_ENDPOINT_URL" not in os.environ
    assert dict(os.environ) == before
