"""Try a request with its body again, waiting longer each time, each process at its own moment."""

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from backbench.errors import StorageError
from backbench.files import s3_client, s3_errors
from backbench.files.s3_address import Address
from backbench.files.switches import seconds

T = TypeVar("T")

ATTEMPTS = "8"  # a text, as in the environment
FIRST_WAIT = 0.2
LONGEST_WAIT = 20.0
_jitter = random.SystemRandom()  # a seeded experiment draws from the other one


def patiently(request: Callable[[], T], at: Address) -> T:
    """The answer of `request`, tried up to `AWS_MAX_ATTEMPTS` (8) times.

    Waits grow exponentially with full jitter, 20 s at most. `request` reads its whole body, so
    that a truncated or stalled body counts as a failure. Only failures that may pass are tried
    again (see `s3_errors.is_transient`).

    Raises:
        StorageError: it cannot be done; the line says why.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    network = (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError)
    for left in reversed(range(_attempts())):
        try:
            return request()
        except network as error:
            if not left or not s3_errors.is_transient(error):
                raise s3_errors.translate(error, at, s3_client.client()) from None
        time.sleep(_wait(_attempts() - left))
    raise AssertionError  # the last attempt returns or raises


def _attempts() -> int:
    given = os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS
    if not given.isdecimal() or int(given) < 1:
        raise StorageError(f"AWS_MAX_ATTEMPTS is '{given}', but has to be a whole number from 1.")
    return int(given)


def _wait(attempt: int) -> float:
    first = seconds("BACKBENCH_S3_WAIT_SECONDS", FIRST_WAIT)
    return _jitter.uniform(0, min(LONGEST_WAIT, first * 2.0**attempt))
