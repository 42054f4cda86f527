"""Buckets, on a real S3 server."""

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import servers
from backbench.errors import StorageError
from backbench.files import bucket, home, transfer

MIB = 1 << 20


def _content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 5000, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_what_was_put_is_fetched(store: servers.Store, tmp_path: Path, size: int):
    """Single-part and multipart, on both sides of the part size."""
    source = tmp_path / "volume.npy"
    source.write_bytes(_content(size))
    sent = bucket.put(source, f"s3://samples/sizes/{size}.npy")
    copy = bucket.fetch(f"s3://samples/sizes/{size}.npy")
    assert sent.size == size
    assert copy.suffix == ".npy"
    assert copy.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "key", ["a b.txt", "ü/é.dcm", "a+b%20c.txt", "x?y#z", "deep/a/b/c/d.nii.gz", "..name"]
)
def test_any_key_can_be_a_name(store: servers.Store, key: str):
    bucket.put_bytes(key.encode(), f"s3://samples/odd/{key}")
    copy = bucket.fetch(f"s3://samples/odd/{key}")
    assert copy.read_bytes() == key.encode()
    assert home.staging_folder() in copy.parents
    assert f"odd/{key}" in [info.key for info in bucket.list_keys("s3://samples/odd/")]


def test_a_range_is_the_slice_of_the_whole(store: servers.Store):
    content = _content(3000)
    bucket.put_bytes(content, "s3://samples/range.bin")

    @given(st.integers(0, 3500), st.integers(0, 3500))
    def check(start: int, length: int) -> None:
        read = transfer.read(at, start, min(length, max(0, 3000 - start)))
        assert read == content[start : start + length]

    at = transfer.Address("samples", "range.bin")
    check()
    assert bucket.read("s3://samples/range.bin", 2990, 100) == content[2990:]
    assert bucket.read("s3://samples/range.bin", 9000) == b""


def test_an_open_object_reads_and_seeks_as_a_file(store: servers.Store):
    content = _content(3 * MIB)
    bucket.put_bytes(content, "s3://samples/seek.bin")
    with bucket.open_object("s3://samples/seek.bin") as file:
        assert file.read(10) == content[:10]
        file.seek(-7, 2)
        assert file.read() == content[-7:]
        file.seek(2 * MIB)
        assert file.read(5) == content[2 * MIB : 2 * MIB + 5]


def test_a_listing_has_every_key(store: servers.Store):
    """More than one page of 1,000."""
    keys = [f"many/{i:04}.dcm" for i in range(1010)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put_bytes(b"x", f"s3://samples/{key}"), keys))
    listed = bucket.list_keys("s3://samples/many/")
    assert [info.key for info in listed] == keys
    assert {info.size for info in listed} == {1}
    assert {info.etag for info in listed} == {hashlib.md5(b"x").hexdigest()}


def test_a_changed_object_is_never_served_from_the_old_copy(store: servers.Store):
    bucket.put_bytes(b"old", "s3://samples/changing.txt")
    assert bucket.fetch("s3://samples/changing.txt").read_bytes() == b"old"
    bucket.put_bytes(b"new", "s3://samples/changing.txt")
    assert bucket.fetch("s3://samples/changing.txt").read_bytes() == b"new"


def test_an_object_that_changed_since_its_listing_is_an_error(store: servers.Store, tmp_path: Path):
    bucket.put_bytes(b"old", "s3://samples/changed.txt")
    (listed,) = bucket.list_keys("s3://samples/changed.txt")
    bucket.put_bytes(b"new", "s3://samples/changed.txt")
    with pytest.raises(StorageError, match="changed since it was listed"):
        bucket.download("s3://samples/changed.txt", tmp_path / "copy", listed)


def test_offline_uses_the_copy_and_names_what_is_missing(store: servers.Store, monkeypatch):
    bucket.put_bytes(b"kept", "s3://samples/kept.txt")
    bucket.fetch("s3://samples/kept.txt")
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not asked for")
    assert bucket.fetch("s3://samples/kept.txt").read_bytes() == b"kept"
    with pytest.raises(StorageError, match=r"s3://samples/other.txt is not in .*OFFLINE"):
        bucket.fetch("s3://samples/other.txt")


def test_a_copy_made_again_has_the_same_time(store: servers.Store):
    """What others remember by (path, size, time) stays valid."""
    bucket.put_bytes(b"x", "s3://samples/time.txt")
    copy = bucket.fetch("s3://samples/time.txt")
    first = copy.stat().st_mtime_ns
    copy.unlink()
    assert bucket.fetch("s3://samples/time.txt") == copy
    assert copy.stat().st_mtime_ns == first


def test_the_endpoint_may_stand_in_any_of_three_variables(store: servers.Store, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    bucket_uri = "s3://samples/endpoint.txt"
    for name in ("MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT_URL"):
        monkeypatch.setenv(name, store.url)
        bucket.put_bytes(name.encode(), bucket_uri)
        assert bucket.read(bucket_uri) == name.encode()
        monkeypatch.delenv(name)
