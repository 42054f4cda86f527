"""The folder of local copies: bounded, shared, never half a file, never away under a reader."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import servers
from backbench.errors import StorageError
from backbench.files import bucket, home, s3_address, transfer
from backbench.files.staging import RECENT, Staging
from fault_proxy import fault_proxy

KIB = 1024


def _put(name: str, size: int = KIB) -> str:
    uri = f"s3://samples/staging/{name}"
    bucket.put_bytes(os.urandom(size), uri)
    return uri


def _used() -> int:
    return Staging(home.staging_folder()).used()


def test_the_oldest_copies_make_room_and_the_bound_holds(store: servers.Store, monkeypatch):
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", str(10 * KIB))
    copies = [bucket.fetch(_put(f"lru{i}")) for i in range(10)]
    used_again = bucket.fetch("s3://samples/staging/lru0")
    for i in range(10, 10 + RECENT):
        bucket.fetch(_put(f"lru{i}"))
    assert used_again.exists()
    assert not copies[1].exists()
    assert _used() <= 10 * KIB


def test_a_copy_in_use_is_never_removed(store: servers.Store, monkeypatch):
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", str(8 * KIB))
    path = bucket.fetch(_put("in-use"))
    with closing(Staging(home.staging_folder()).hold(path, KIB)):
        for i in range(20):
            bucket.fetch(_put(f"other{i}"))
            assert path.exists()
    for i in range(20, 30):
        bucket.fetch(_put(f"other{i}"))
    assert not path.exists()


def test_the_last_copies_handed_out_stay(store: servers.Store, monkeypatch):
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", str((RECENT + 1) * KIB))
    for i in range(20):
        recent = [bucket.fetch(_put(f"r{i}-{n}")) for n in range(RECENT)]
        assert all(path.exists() for path in recent)


def test_too_large_for_the_bound_says_which_setting(store: servers.Store, monkeypatch):
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", "1000")
    with pytest.raises(StorageError, match="BACKBENCH_STAGING_BYTES"):
        bucket.fetch(_put("large", 1001))
    assert _used() == 0


def test_a_lost_ledger_is_counted_again(store: servers.Store, monkeypatch):
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", str(8 * KIB))
    for i in range(8):
        bucket.fetch(_put(f"ledger{i}"))
    (home.staging_folder() / "used.json").write_text("{ half a")
    for i in range(8, 12):
        bucket.fetch(_put(f"ledger{i}"))
    assert _used() <= 8 * KIB


def test_a_truncated_copy_is_made_again(store: servers.Store):
    uri = _put("truncated", 5000)
    copy = bucket.fetch(uri)
    whole = copy.read_bytes()
    os.truncate(copy, 100)
    assert bucket.fetch(uri).read_bytes() == whole


def test_many_processes_download_an_object_once(store: servers.Store, monkeypatch):
    """Eight at once: one GET a part, equal bytes for all."""
    uri = _put("shared", 3 << 20)
    with fault_proxy(store.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(8, mp_context=context) as pool:
            copies = set(pool.map(_fetched, [uri] * 8, [dict(os.environ)] * 8))
    assert len(copies) == 1
    assert proxy.seen["fine"] == 8 + 1  # a HEAD each, one GET


def test_a_killed_download_leaves_nothing_that_looks_whole(store: servers.Store, monkeypatch):
    """SIGKILL in the middle; the leftover goes when room is needed, the next call has the bytes."""
    uri = _put("killed", 6 << 20)
    with fault_proxy(store.url, share=1.0, faults=("stalled",), stall_seconds=20) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        info = transfer.head(s3_address.parse(uri))
        monkeypatch.setenv("BACKBENCH_S3_READ_SECONDS", "20")
        child = multiprocessing.get_context("fork").Process(target=bucket.fetch, args=(uri,))
        with monkeypatch.context() as patched:
            patched.setattr(transfer, "head", lambda _: info)
            child.start()
        leftovers = _wait_for_leftovers()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        proxy.share = 0.0
        assert _whole_copies() == []
        content = bucket.fetch(uri).read_bytes()
    assert (
        content
        == servers.s3_client(store)
        .get_object(Bucket="samples", Key="staging/killed")["Body"]
        .read()
    )
    monkeypatch.setenv("BACKBENCH_STAGING_BYTES", str(7 << 20))
    bucket.fetch(_put("next"))
    assert not any(path.exists() for path in leftovers)


def _fetched(uri: str, environment: dict[str, str]) -> bytes:
    os.environ.update(environment)
    return bucket.fetch(uri).read_bytes()


def _wait_for_leftovers() -> list[Path]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = list((home.staging_folder() / "objects").glob("*/.*.tmp"))
        if found and found[0].stat().st_size:
            return found
        time.sleep(0.02)
    raise AssertionError("the download did not begin")


def _whole_copies() -> list[Path]:
    return [p for p in (home.staging_folder() / "objects").glob("*/*") if p.suffix != ".tmp"]
