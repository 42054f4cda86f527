"""Backup and restore of a service: both databases and the bucket, verified by counts and checksums.

The databases are dumped before the bucket is copied: an artifact is uploaded before it is of use to
anybody, so every artifact a dumped run has is in the copy; later ones are harmless extras.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backbench.errors import StorageError
from backbench.files import atomic, bucket
from backbench.files.transfer import ObjectInfo, in_parallel
from backbench.pipeline import service_database
from backbench.pipeline.service_database import DATABASES, Content
from backbench.pipeline.service_settings import Settings, read

FORMAT = 1
_BLOCK = 8 << 20


@dataclass(frozen=True)
class Report:
    """What a backup holds or a restore brought back, checked."""

    runs: int
    rows: int
    objects: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.runs:,} runs ({self.rows:,} rows), {self.objects:,} objects "
            f"({self.bytes:,} bytes), every count and checksum equal"
        )


def backup(
    folder: Path, target: Path, *, compose: bool = False, say: Callable[[str], None] = print
) -> Report:
    """Copy the running service of `folder` into the new folder `target`.

    The folder appears when it is whole: what is begun under another name is removed on failure.

    Args:
        folder: where `.env` is.
        target: absent or empty.
        compose: use pg_dump of the database's container (its version fits) instead of this
            machine's.
        say: takes the lines for the person at the terminal.

    Raises:
        StorageError: `target` is not empty, a part cannot be reached, or the disk is full.
    """
    settings = read(folder)
    _require_empty(target)
    with atomic.replacing(target) as growing:
        _write(settings, growing, compose=compose, say=say)
    return _report(verify(target))


def _write(settings: Settings, target: Path, *, compose: bool, say: Callable[[str], None]) -> None:
    (target / "objects").mkdir(parents=True)
    databases = {}
    for name in DATABASES:
        say(f"dumping database {name} ...")
        path = target / f"{name}.dump"
        tables = service_database.dump(settings, name, path, compose=compose)
        databases[name] = {"sha256": atomic.sha256_of(path), "tables": tables}
    with settings.store_access():
        objects = _copy_objects(settings, target, say)
    manifest = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "databases": databases,
        "objects": objects,
    }
    atomic.write_json(target / "manifest.json", manifest)


def verify(source: Path) -> Mapping[str, Any]:
    """The manifest of a backup, after every file was compared with it.

    Raises:
        StorageError: `source` is no backup, or a file is missing or differs.
    """
    manifest = _manifest(source)
    sums = {f"{name}.dump": entry["sha256"] for name, entry in manifest["databases"].items()}
    sums |= {f"objects/{_name(o['key'])}": o["sha256"] for o in manifest["objects"]}
    for name, expected in sums.items():
        path = source / name
        if not path.is_file() or atomic.sha256_of(path) != expected:
            raise StorageError(f"{path} is missing or was changed: this backup is damaged.")
    return manifest


def restore(
    folder: Path, source: Path, *, compose: bool = False, say: Callable[[str], None] = print
) -> Report:
    """Bring a backup into the running, still empty service of `folder`.

    Users and passwords of the tracking server are those of the backup afterwards.

    Raises:
        StorageError: the backup is damaged, the service holds runs or objects already, a part
            cannot be reached, or what arrived differs from the backup.
    """
    settings = read(folder)
    say("checking the backup ...")
    manifest = verify(source)
    with settings.store_access():
        _require_fresh(settings)
        for name in DATABASES:
            say(f"restoring database {name} ...")
            path = source / f"{name}.dump"
            tables = service_database.load(settings, name, path, compose=compose)
            _require_equal(name, manifest["databases"][name]["tables"], tables)
        _put_objects(settings, source, manifest["objects"], say)
        _require_objects(settings, manifest["objects"], say)
    return _report(manifest)


def _copy_objects(settings: Settings, target: Path, say: Callable[[str], None]) -> list[Any]:
    listed = bucket.list_keys(settings.bucket_uri, refresh=True)
    listed = [info for info in listed if not info.key.startswith(".ready/")]
    say(f"copying {len(listed):,} objects ...")
    sums: dict[str, str] = {}

    def copy(info: ObjectInfo) -> None:
        path = target / "objects" / _name(info.key)
        bucket.download(settings.bucket_uri + info.key, path, info)
        sums[info.key] = atomic.sha256_of(path)

    in_parallel(copy, listed)
    return [asdict(info) | {"sha256": sums[info.key]} for info in listed]


def _put_objects(
    settings: Settings, source: Path, objects: list[Any], say: Callable[[str], None]
) -> None:
    say(f"restoring {len(objects):,} objects ...")

    def put(item: Mapping[str, Any]) -> None:
        path = source / "objects" / _name(item["key"])
        bucket.put(path, settings.bucket_uri + item["key"])

    in_parallel(put, objects)


def _require_objects(settings: Settings, objects: list[Any], say: Callable[[str], None]) -> None:
    """Read every object back: its SHA-256 has to be that of the manifest."""
    say(f"reading {len(objects):,} objects back ...")

    def check(item: Mapping[str, Any]) -> None:
        uri = settings.bucket_uri + item["key"]
        digest = hashlib.sha256()
        with bucket.open_object(uri) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != item["sha256"]:
            raise StorageError(f"{uri} arrived with other bytes than the backup has.")

    in_parallel(check, objects)


def _require_empty(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"{target} is not empty: name a new folder for the backup.")


def _require_fresh(settings: Settings) -> None:
    if count := service_database.runs(settings):
        raise StorageError(
            f"this service holds {count:,} runs already: restore into a new one, so that nothing "
            "is lost."
        )
    listed = bucket.list_keys(settings.bucket_uri, refresh=True)
    if kept := [info.key for info in listed if not info.key.startswith(".ready/")]:
        raise StorageError(
            f"bucket {settings.bucket_uri} holds {len(kept):,} objects already ({kept[0]} ...): "
            "restore into an empty one."
        )


def _require_equal(name: str, expected: Mapping[str, Any], found: Content) -> None:
    for table, value in expected.items():
        if tuple(value) != found.get(table):
            raise StorageError(
                f"table {table} of database {name} has {found.get(table)} after the restore, the "
                f"backup {tuple(value)} (rows, checksum)."
            )


def _manifest(source: Path) -> Mapping[str, Any]:
    try:
        manifest = json.loads((source / "manifest.json").read_text())
    except FileNotFoundError:
        raise StorageError(f"{source} has no manifest.json: it is no finished backup.") from None
    except ValueError as error:
        raise StorageError(f"{source / 'manifest.json'} is no JSON: {error}.") from error
    if manifest.get("format") != FORMAT:
        raise StorageError(f"{source} has format {manifest.get('format')}, this reads {FORMAT}.")
    return dict(manifest)


def _report(manifest: Mapping[str, Any]) -> Report:
    tables = [entry["tables"] for entry in manifest["databases"].values()]
    return Report(
        runs=manifest["databases"]["mlflow"]["tables"].get("runs", (0, ""))[0],
        rows=sum(rows for content in tables for rows, _ in content.values()),
        objects=len(manifest["objects"]),
        bytes=sum(item["size"] for item in manifest["objects"]),
    )


def _name(key: str) -> str:
    """A file name for any key: keys may be `a` and `a/b` at once, or hold `..`."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{digest[:2]}/{digest}"
