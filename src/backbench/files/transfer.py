"""Bytes between a bucket and this machine: ranged and parallel, each part tried again by itself."""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from backbench.errors import ObjectError, StorageError
from backbench.files import s3_client, s3_errors
from backbench.files.patience import patiently
from backbench.files.room import write_at
from backbench.files.s3_address import Address

T = TypeVar("T")

PART = 8 << 20
MOST_PARTS = 10_000  # S3's own bound
STREAMS = 8
_TRIES = 3  # for bytes that do not match their MD5
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a listing shows it; `etag` is without quotes, `modified` in seconds."""

    key: str
    size: int
    etag: str
    modified: float = 0.0


def head(at: Address) -> ObjectInfo:
    """Size and ETag of one object."""
    answer = patiently(lambda: s3_client.client().head_object(Bucket=at.bucket, Key=at.key), at)
    return ObjectInfo(
        at.key, answer["ContentLength"], _bare(answer["ETag"]), answer["LastModified"].timestamp()
    )


def list_objects(at: Address) -> list[ObjectInfo]:
    """All objects whose key begins with `at.key`, in the order of keys."""
    found: list[ObjectInfo] = []
    more: dict[str, str] = {}
    while True:
        page = patiently(partial(_page, at, more), at)
        found += [_listed(item) for item in page.get("Contents", ())]
        if not page.get("IsTruncated"):
            return found
        more = {"ContinuationToken": page["NextContinuationToken"]}


def read(at: Address, start: int, length: int, etag: str | None = None) -> bytes:
    """The bytes [start, start + length) of an object.

    Raises:
        StorageError: it cannot be read, or is no longer the object with `etag`.
    """
    return patiently(lambda: _read_once(at, start, length, etag), at) if length else b""


def download(at: Address, info: ObjectInfo, path: Path) -> None:
    """Write the object into `path`, whose length is right already, and verify it.

    A single-part object is checked against its ETag, which is its MD5; any other by the length
    of each part.

    Raises:
        StorageError: it cannot be read, changed while it was read, or its bytes are wrong.
    """
    for _ in range(_TRIES):
        _download_parts(at, info, path)
        if not _is_md5(info.etag) or _md5(path) == info.etag:
            return
    raise ObjectError(f"{at} keeps coming with other bytes than its ETag {info.etag} says.")


def upload(path: Path, at: Address) -> ObjectInfo:
    """Send the file `path` to `at`; the store checks each part against its MD5.

    Raises:
        StorageError: it cannot be written, or arrived with another length.
    """
    size = path.stat().st_size
    if size <= PART:
        put_content(at, path.read_bytes())
    else:
        _upload_parts(path, size, at)
    arrived = head(at)
    if arrived.size != size:
        raise StorageError(f"{at} arrived with {arrived.size:,} of {size:,} bytes: run again.")
    return arrived


def put_content(at: Address, content: bytes) -> None:
    """Write a small object in one request; the store checks its MD5."""
    patiently(lambda: _put_once(at, content), at)


def delete(at: Address) -> None:
    """Remove one object; removing what is not there is no error."""
    patiently(lambda: s3_client.client().delete_object(Bucket=at.bucket, Key=at.key), at)


def in_parallel(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Run `work` on all items in threads; the first error ends the rest and is raised."""
    todo = list(items)
    if len(todo) <= 1:
        for item in todo:
            work(item)
        return
    with ThreadPoolExecutor(min(STREAMS, len(todo))) as pool:
        try:
            for done in [pool.submit(work, item) for item in todo]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _download_parts(at: Address, info: ObjectInfo, path: Path) -> None:
    with path.open("rb+") as file:
        descriptor = file.fileno()

        def part(start: int) -> None:
            length = min(PART, info.size - start)
            write_at(descriptor, read(at, start, length, info.etag), start)

        in_parallel(part, range(0, info.size, PART))


def _page(at: Address, more: dict[str, str]) -> Any:  # noqa: ANN401 - boto3
    return s3_client.client().list_objects_v2(Bucket=at.bucket, Prefix=at.key, **more)


def _listed(item: Any) -> ObjectInfo:  # noqa: ANN401 - boto3
    modified = item["LastModified"].timestamp()
    return ObjectInfo(item["Key"], item["Size"], _bare(item["ETag"]), modified)


def _read_once(at: Address, start: int, length: int, etag: str | None) -> bytes:
    from botocore.exceptions import IncompleteReadError

    answer = s3_client.client().get_object(
        Bucket=at.bucket, Key=at.key, Range=f"bytes={start}-{start + length - 1}"
    )
    if etag is not None and _bare(answer["ETag"]) != etag:
        answer["Body"].close()
        raise StorageError(f"{at} changed since it was listed: list it afresh, then run again.")
    content = bytes(answer["Body"].read())
    if len(content) != length:
        raise IncompleteReadError(actual_bytes=len(content), expected_bytes=length)
    return content


def _put_once(at: Address, content: bytes) -> None:
    s3_client.client().put_object(
        Bucket=at.bucket, Key=at.key, Body=content, ContentMD5=_md5_header(content)
    )


def _upload_parts(path: Path, size: int, at: Address) -> None:
    place = {"Bucket": at.bucket, "Key": at.key}
    started = patiently(lambda: s3_client.client().create_multipart_upload(**place), at)
    place["UploadId"] = started["UploadId"]
    step = max(PART, -(-size // MOST_PARTS))
    tags: dict[int, str] = {}
    with path.open("rb") as file:
        descriptor = file.fileno()

        def part(number: int) -> None:
            content = os.pread(descriptor, step, (number - 1) * step)
            tags[number] = patiently(lambda: _put_part(place, number, content), at)

        try:
            in_parallel(part, range(1, -(-size // step) + 1))
            patiently(lambda: _complete(place, tags), at)
        except BaseException:
            patiently(lambda: s3_client.client().abort_multipart_upload(**place), at)
            raise


def _put_part(place: dict[str, str], number: int, content: bytes) -> str:
    answer = s3_client.client().upload_part(
        **place, PartNumber=number, Body=content, ContentMD5=_md5_header(content)
    )
    return str(answer["ETag"])


def _complete(place: dict[str, str], tags: dict[int, str]) -> None:
    from botocore.exceptions import ClientError

    parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
    try:
        s3_client.client().complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    except ClientError as error:
        # The answer to an earlier attempt may have been lost; `upload` checks what arrived.
        if s3_errors.code_of(error) != "NoSuchUpload":
            raise


def _bare(etag: str) -> str:
    return etag.strip('"')


def _is_md5(etag: str) -> bool:
    return _MD5.fullmatch(etag) is not None


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(PART):
            digest.update(chunk)
    return digest.hexdigest()


def _md5_header(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
