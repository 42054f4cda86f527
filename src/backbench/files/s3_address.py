"""Where an object is: `s3://bucket/key` and the endpoint the environment names."""

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from backbench.errors import StorageError

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT_URL")
_B2_REGION = re.compile(r"s3\.([a-z0-9-]+)\.backblazeb2\.com$")


@dataclass(frozen=True)
class Address:
    """A bucket and a key (or the beginning of keys) in it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def is_s3(uri: str) -> bool:
    """Whether `uri` names something in a bucket."""
    return uri.startswith("s3://")


def parse(uri: str, *, whole_bucket: bool = False) -> Address:
    """Split `s3://bucket/key`; the key may be empty only where `whole_bucket` says so.

    Raises:
        StorageError: `uri` is not of that form.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not is_s3(uri) or not bucket or not (key or whole_bucket):
        raise StorageError(f"'{uri}' is no object of a bucket; write s3://BUCKET/KEY.")
    return Address(bucket, key)


def endpoint() -> str | None:
    """The S3 endpoint of the environment; None means Amazon's own.

    Raises:
        StorageError: the variable holds something else than a http or https address.
    """
    for name in ENDPOINT_VARIABLES:
        if value := os.environ.get(name):
            if urlsplit(value).scheme not in ("http", "https"):
                raise StorageError(f"{name} has to begin with http:// or https://.")
            return value
    return None


def endpoint_shown() -> str:
    """The endpoint for a message: without the credentials somebody may have written into it."""
    parts = urlsplit(endpoint() or "https://s3.amazonaws.com")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def region() -> str | None:
    """The region for the signature: the environment's, else the one in a B2 endpoint's name."""
    given = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")
    found = _B2_REGION.search(urlsplit(endpoint() or "").hostname or "")
    if given or found:
        return given or (found and found.group(1))
    return "us-east-1" if endpoint() else None
