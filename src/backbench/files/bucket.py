"""S3-compatible buckets: list, read, stage, put. boto3 is used in this package and nowhere else.

Endpoint: `AWS_ENDPOINT_URL_S3`, `MLFLOW_S3_ENDPOINT_URL` or `S3_ENDPOINT_URL`. Credentials: the
usual AWS chain only. `fetch` gives a verified local copy out of a size-bounded folder
(`BACKBENCH_STAGING_BYTES`, 50 GiB) that all processes of a machine share.
"""

import io
import os
import time
from pathlib import Path
from typing import BinaryIO

from backbench.errors import StorageError
from backbench.files import atomic, home, s3_address, transfer
from backbench.files.ranged import RangedObject
from backbench.files.s3_address import Address
from backbench.files.staging import Held, Recent, Staging
from backbench.files.switches import is_offline
from backbench.files.transfer import ObjectInfo

_BLOCK = 1 << 20
_recent = Recent()


def fetch(uri: str) -> Path:
    """A verified local copy of `s3://bucket/key`; downloaded unless the same object is here.

    The copy stays while it is among the last few this thread fetched, and as long as a file
    opened from it is open.

    Raises:
        StorageError: no credentials, no such bucket or key, refused, unreachable, too large for
            the staging folder, or the disk is full.
    """
    return _recent.keep(_held(uri))


def download(uri: str, path: Path, known: ObjectInfo | None = None) -> None:
    """Copy an object to `path`, outside the staging folder, atomically and verified.

    Args:
        uri: the object.
        path: of the copy.
        known: what a listing said about it; an object that changed since is an error.
    """
    at = s3_address.parse(uri)
    info = known or transfer.head(at)
    with atomic.replacing(path) as temporary:
        with temporary.open("wb") as file:
            file.truncate(info.size)
        transfer.download(at, info, temporary)


def list_keys(uri_prefix: str) -> list[ObjectInfo]:
    """The objects whose keys begin with `s3://bucket/prefix`, in the order of keys.

    Args:
        uri_prefix: the beginning of the keys; end it with `/` to mean a folder.

    Raises:
        StorageError: no credentials, no such bucket, refused or unreachable.
    """
    return transfer.list_objects(s3_address.parse(uri_prefix, whole_bucket=True))


def read(uri: str, start: int = 0, length: int | None = None) -> bytes:
    """The bytes [start, start + length) of an object, to its end without `length`."""
    at = s3_address.parse(uri)
    left = max(0, transfer.head(at).size - start)
    return transfer.read(at, start, left if length is None else min(length, left))


def open_object(uri: str) -> BinaryIO:
    """A seekable binary file over an object, read in ranges of 1 MiB; nothing is staged."""
    at = s3_address.parse(uri)
    return io.BufferedReader(RangedObject(at, transfer.head(at)), _BLOCK)


def put(path: Path, uri: str) -> ObjectInfo:
    """Send a file to `s3://bucket/key`, in parallel parts where large; verified on arrival."""
    return transfer.upload(path, s3_address.parse(uri))


def put_bytes(content: bytes, uri: str) -> None:
    """Write a small object; the store checks its MD5."""
    transfer.put_content(s3_address.parse(uri), content)


def delete(uri: str) -> None:
    """Remove an object; removing what is not there is no error."""
    transfer.delete(s3_address.parse(uri))


def _held(uri: str) -> Held:
    at, staging = s3_address.parse(uri), Staging(home.staging_folder())
    if is_offline():
        return _held_offline(at, staging)
    info = transfer.head(at)
    path = staging.place(_name(at), info.etag, at.key)
    while (held := staging.hold(path, info.size)) is None:
        with staging.lock(path):
            if not staging.has(path, info.size):  # another process may have been faster
                _download(staging, at, info, path)
    return held


def _held_offline(at: Address, staging: Staging) -> Held:
    path = staging.newest(_name(at), at.key)
    held = staging.hold(path, path.stat().st_size) if path else None
    if held is None:
        raise StorageError(
            f"{at} is not in {staging.folder.parent} and BACKBENCH_OFFLINE is set: "
            "fetch it once where there is a network."
        )
    return held


def _download(staging: Staging, at: Address, info: ObjectInfo, path: Path) -> None:
    with staging.making(path, info.size) as temporary:
        transfer.download(at, info, temporary)
        if info.modified:
            # A copy made again has the same time: what is remembered by (size, time) stays valid.
            os.utime(temporary, (time.time(), info.modified))


def _name(at: Address) -> str:
    return f"{s3_address.endpoint_shown()}\n{at}"
