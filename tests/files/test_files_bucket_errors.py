"""What goes wrong with a bucket is one clear line, without a secret."""

import pytest

import servers
from backbench.errors import StorageError, TaskError
from backbench.files import bucket, s3_address
from fault_proxy import fault_proxy


def _line(uri: str) -> str:
    with pytest.raises((StorageError, TaskError)) as caught:
        bucket.fetch(uri)
    line = str(caught.value)
    assert "\n" not in line
    assert "planted-s3-secret" not in line
    return line


def test_a_misspelt_key_names_the_nearest(store: servers.Store):
    bucket.put_bytes(b"x", "s3://samples/near/plant_001.png")
    line = _line("s3://samples/near/plant_01.png")
    assert "no key 'near/plant_01.png' in bucket 'samples'; nearest: near/plant_001.png" in line


def test_a_misspelt_bucket_names_the_nearest(store: servers.Store):
    assert "there is no bucket 'sample'" in (line := _line("s3://sample/x.png"))
    assert "nearest: samples" in line


def test_no_credentials(store: servers.Store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no credentials for s3://samples/x" in (line := _line("s3://samples/x"))
    assert "AWS_ACCESS_KEY_ID" in line


def test_wrong_credentials(store: servers.Store, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-s3-secret-but-wrong")
    assert "may not use s3://samples/x" in (line := _line("s3://samples/x"))
    assert "403" in line
    with pytest.raises(StorageError, match="does not accept the credentials"):
        bucket.list_keys("s3://samples/")


def test_an_endpoint_that_is_not_there(store: servers.Store, monkeypatch):
    port = servers.free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://me:planted-s3-secret@127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    line = _line("s3://samples/x")
    assert f"cannot get through to http://127.0.0.1:{port}" in line
    assert "AWS_ENDPOINT_URL_S3" in line


def test_a_store_that_stays_overloaded(store: servers.Store, monkeypatch):
    with fault_proxy(store.url, share=1.0, faults=("503",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
        assert "keeps answering 503" in _line("s3://samples/x")
        assert proxy.seen["503"] == 3


@pytest.mark.parametrize(
    "uri", ["samples/x", "s3://", "s3://samples", "s3://samples/", "http://x/y"]
)
def test_what_is_no_object_is_said(uri: str):
    with pytest.raises(StorageError, match="write s3://BUCKET/KEY"):
        bucket.fetch(uri)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", "storage:8333"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("BACKBENCH_S3_READ_SECONDS", "-1"),
        ("BACKBENCH_STAGING_BYTES", "50GB"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "sometimes"),
    ],
)
def test_a_wrong_setting_is_named(store: servers.Store, monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    line = _line("s3://samples/x")
    assert name in line or "AWS_*" in line


def test_the_region_of_b2_stands_in_its_address(monkeypatch):
    monkeypatch.setenv("S3_ENDPOINT_URL", "https://s3.us-west-004.backblazeb2.com")
    assert s3_address.region() == "us-west-004"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-003")
    assert s3_address.region() == "eu-central-003"
