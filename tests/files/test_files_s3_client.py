"""One client a process, whoever asks first."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backbench.files import s3_client


@pytest.fixture
def slow_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes long enough for every thread to come by."""
    monkeypatch.setattr(s3_client, "_clients", {})
    monkeypatch.setattr(s3_client, "_make", lambda: time.sleep(0.1) or object())


@pytest.mark.usefixtures("slow_to_make")
def test_threads_that_ask_at_once_share_one_client() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: s3_client.client(), range(8)))
    assert len(made) == 1


@pytest.mark.usefixtures("slow_to_make")
def test_a_process_forked_while_one_is_made_makes_its_own() -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(s3_client.client)
        time.sleep(0.02)
        child = os.fork()
        if not child:
            os._exit(s3_client.client() is None)
        limit = time.monotonic() + 20
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < limit:
            time.sleep(0.01)
        if not ended[0]:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert (ended, asked.result() is None) == ((child, 0), False)
