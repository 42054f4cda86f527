"""The bucket of the service: what is in it, out of it, into it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backbench.errors import StorageError
from backbench.files import atomic, bucket
from backbench.files.transfer import ObjectInfo, in_parallel
from backbench.pipeline.service_settings import Settings

_BLOCK = 8 << 20

Item = Mapping[str, Any]  # of a manifest: ObjectInfo's fields and `sha256`


def listed(settings: Settings) -> list[ObjectInfo]:
    """All that clients put there."""
    found = bucket.list_keys(settings.bucket_uri)
    return [info for info in found if not info.key.startswith(".ready/")]


def copy(settings: Settings, objects: Sequence[ObjectInfo], folder: Path) -> list[Item]:
    """Download to the files `place(folder, key)`; what the manifest says about each."""
    sums: dict[str, str] = {}

    def one(info: ObjectInfo) -> None:
        path = place(folder, info.key)
        bucket.download(settings.bucket_uri + info.key, path, info)
        sums[info.key] = atomic.sha256_of(path)

    in_parallel(one, objects)
    return [asdict(info) | {"sha256": sums[info.key]} for info in objects]


def missing(settings: Settings, objects: Sequence[Item]) -> list[Item]:
    """Those that are not there; whether the others have the same content is for `check`.

    Raises:
        StorageError: there are others than `objects`, or of another size.
    """
    there = {info.key: info.size for info in listed(settings)}
    sizes = {item["key"]: item["size"] for item in objects}
    if other := sorted(key for key, size in there.items() if sizes.get(key) != size):
        raise StorageError(
            f"bucket {settings.bucket_uri} holds {len(other):,} objects already that are not the "
            f"backup's ({other[0]} ...): restore into an empty one."
        )
    return [item for item in objects if item["key"] not in there]


def put(settings: Settings, objects: Sequence[Item], folder: Path) -> None:
    """Send the files that `copy` made."""

    def one(item: Item) -> None:
        bucket.put(place(folder, item["key"]), settings.bucket_uri + item["key"])

    in_parallel(one, objects)


def check(settings: Settings, objects: Sequence[Item]) -> None:
    """Read every object: its SHA-256 has to be that of the manifest.

    Raises:
        StorageError: it is another.
    """

    def one(item: Item) -> None:
        uri = settings.bucket_uri + item["key"]
        digest = hashlib.sha256()
        with bucket.open_object(uri) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != item["sha256"]:
            raise StorageError(f"{uri} has other bytes than the backup.")

    in_parallel(one, objects)


def place(folder: Path, key: str) -> Path:
    """The file of any key: keys may be `a` and `a/b` at once, or hold `..`."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return folder / digest[:2] / digest
