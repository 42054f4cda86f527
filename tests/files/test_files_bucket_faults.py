"""A bucket that misbehaves: the same bytes in the end, or a clear error."""

import random
import re
from pathlib import Path

import pytest

import servers
from backbench.errors import StorageError
from backbench.files import bucket
from fault_proxy import FAULTS, fault_proxy

TRACKING = Path(__file__).parents[2] / "service" / "tracking.sh"
SIZES = [0, 1, 700, 100_000, 1 << 20, (8 << 20) + 3, 17 << 20]


def test_one_request_in_five_fails_and_the_bytes_are_the_same(
    store: servers.Store, monkeypatch, tmp_path: Path
):
    """500, 503, resets, lost answers, truncated bodies and stalls, on both ways."""
    monkeypatch.setenv("BACKBENCH_S3_READ_SECONDS", "0.7")
    with fault_proxy(store.url, share=0.2, seed=7, stall_seconds=1.5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        for number in range(14):
            content = random.Random(number).randbytes(SIZES[number % len(SIZES)])
            source = tmp_path / "source"
            source.write_bytes(content)
            bucket.put(source, f"s3://samples/faults/{number}.bin")
            assert bucket.fetch(f"s3://samples/faults/{number}.bin").read_bytes() == content
        assert len(bucket.list_keys("s3://samples/faults/")) == 14
    assert all(proxy.seen[fault] for fault in FAULTS)


def test_a_store_that_refuses_checksum_headers_is_used_as_it_is(
    store: servers.Store, monkeypatch, tmp_path: Path
):
    """B2 answered 400 to the headers that botocore >= 1.36 adds by itself."""
    source = tmp_path / "large"
    source.write_bytes(bytes(9 << 20))
    with fault_proxy(store.url, refuse_checksums=True) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        bucket.put_bytes(b"small", "s3://samples/b2/small")
        bucket.put(source, "s3://samples/b2/large")
        assert bucket.fetch("s3://samples/b2/large").stat().st_size == 9 << 20
        bucket.delete("s3://samples/b2/large")
        assert proxy.seen["refused"] == 0
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
        with pytest.raises(StorageError, match="refuses s3://samples/b2/small"):
            bucket.put_bytes(b"small", "s3://samples/b2/small")
        assert proxy.seen["refused"] == 1


def test_mlflow_as_the_service_starts_it_sends_no_checksum_headers_either(
    store: servers.Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """With what service/tracking.sh exports; without it the same upload is refused."""
    from mlflow.store.artifact import s3_artifact_repo
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    exported = re.findall(r"^export (AWS_RE\w+)=(\w+)$", TRACKING.read_text(), re.MULTILINE)
    assert len(exported) == 2
    source = tmp_path / "model.bin"
    source.write_bytes(bytes(1000))
    with fault_proxy(store.url, refuse_checksums=True) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        with pytest.raises(Exception, match="InvalidArgument"):
            S3ArtifactRepository("s3://samples/without").log_artifact(str(source))
        assert proxy.seen.pop("refused") >= 1
        for name, value in exported:
            monkeypatch.setenv(name, value)
        s3_artifact_repo._cached_get_s3_client.cache_clear()
        S3ArtifactRepository("s3://samples/with").log_artifact(str(source))
        assert proxy.seen["refused"] == 0
    (sent,) = bucket.list_keys("s3://samples/with/model.bin")
    assert sent.size == 1000


def test_bytes_that_are_not_those_of_the_etag_are_not_kept(store: servers.Store, monkeypatch):
    bucket.put_bytes(b"right bytes", "s3://samples/corrupt.bin")
    with fault_proxy(store.url, share=1.0, faults=("corrupted",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        with pytest.raises(StorageError, match="other bytes than its ETag"):
            bucket.fetch("s3://samples/corrupt.bin")
        proxy.share = 0.0
        assert bucket.fetch("s3://samples/corrupt.bin").read_bytes() == b"right bytes"
