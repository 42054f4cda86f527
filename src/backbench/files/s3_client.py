"""The one place where a boto3 client is made."""

import os
import threading
from typing import Any

from backbench.errors import StorageError
from backbench.files import s3_address
from backbench.files.switches import seconds

CONNECTIONS = 16
_clients: dict[tuple[int, int], Any] = {}
_making = threading.Lock()
# A process forked while another thread holds it would wait for ever.
os.register_at_fork(
    before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
)


def client() -> Any:  # noqa: ANN401 - boto3 makes its client classes while running
    """An S3 client for the present environment; one a process, shared by its threads.

    A forked worker gets its own: two processes on one socket would read each other's answers.

    Raises:
        StorageError: the endpoint or the profile named in the environment is wrong.
        TaskError: a timeout in it is.
    """
    settings = hash(frozenset((k, v) for k, v in os.environ.items() if _concerns(k)))
    name = (os.getpid(), settings)
    with _making:
        if (made := _clients.get(name)) is None:
            made = _make()
            _clients.clear()
            _clients[name] = made
    return made


def _concerns(variable: str) -> bool:
    return variable.startswith(("AWS_", "BACKBENCH_S3_")) or variable in (
        *s3_address.ENDPOINT_VARIABLES,
        "HOME",
    )


def _make() -> Any:  # noqa: ANN401 - see client
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=s3_address.endpoint(),
            region_name=s3_address.region(),
            config=_config(),
        )
    except (BotoCoreError, ValueError) as error:
        raise StorageError(
            f"cannot talk to {s3_address.endpoint_shown()}: {error}. Check the AWS_* variables."
        ) from error


def _config() -> Any:  # noqa: ANN401 - see client
    from botocore.config import Config

    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if s3_address.endpoint() else "auto"},
        # botocore >= 1.36 adds checksum headers by default; B2 and others answered 400 to them.
        request_checksum_calculation=_unless_said("AWS_REQUEST_CHECKSUM_CALCULATION"),
        response_checksum_validation=_unless_said("AWS_RESPONSE_CHECKSUM_VALIDATION"),
        connect_timeout=seconds("BACKBENCH_S3_CONNECT_SECONDS", 10),
        read_timeout=seconds("BACKBENCH_S3_READ_SECONDS", 60),
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        # `patience` retries the request with its body; two nested loops would multiply.
        retries={"mode": "standard", "total_max_attempts": 1},
    )


def _unless_said(variable: str) -> Any:  # noqa: ANN401 - botocore checks the word
    return os.environ.get(variable, "when_required").lower()
