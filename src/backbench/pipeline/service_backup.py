"""Backup and restore of a service: both databases and the bucket, verified by counts and checksums.

The databases are dumped before the bucket is copied: an artifact is uploaded before it is of use to
anybody, so every artifact a dumped run has is in the copy; later ones are harmless extras.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backbench.errors import StorageError
from backbench.files import atomic
from backbench.pipeline import service_database, service_objects
from backbench.pipeline.service_database import DATABASES, Content
from backbench.pipeline.service_settings import Settings, read

FORMAT = 1


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
        StorageError: `target` is not empty or cannot be written, a part cannot be reached, or the
            disk is full.
    """
    settings, target = read(folder), target.resolve()
    with _appearing(target) as growing:
        _write(settings, growing, compose=compose, say=say)
    return _report(verify(target))


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a folder for what `target` holds once the block succeeded; nobody else can enter it.

    A folder that is there stays the same one: it may be a mount, or where a shell is.
    """
    try:
        if is_there := target.exists():
            _require_empty(target)
            target.chmod(0o700)
        whole = target / "backup" if is_there else target
        with atomic.replacing(whole) as growing:
            growing.mkdir(mode=0o700)
            yield growing
        if is_there:
            for path in sorted(whole.iterdir(), reverse=True):  # manifest.json is the last
                path.rename(target / path.name)
            whole.rmdir()
    except OSError as error:
        raise atomic.unwritable(target, error) from error


def _write(settings: Settings, target: Path, *, compose: bool, say: Callable[[str], None]) -> None:
    (target / "objects").mkdir()
    databases = {}
    for name in DATABASES:
        say(f"dumping database {name} ...")
        path = target / f"{name}.dump"
        tables = service_database.dump(settings, name, path, compose=compose)
        databases[name] = {"sha256": atomic.sha256_of(path), "tables": tables}
    with settings.store_access():
        listed = service_objects.listed(settings)
        say(f"copying {len(listed):,} objects ...")
        objects = service_objects.copy(settings, listed, target / "objects")
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
    dumps = manifest["databases"].items()
    sums = {source / f"{name}.dump": entry["sha256"] for name, entry in dumps}
    objects = source / "objects"
    sums |= {service_objects.place(objects, o["key"]): o["sha256"] for o in manifest["objects"]}
    for path, expected in sums.items():
        if not path.is_file() or atomic.sha256_of(path) != expected:
            raise StorageError(f"{path} is missing or was changed: this backup is damaged.")
    return manifest


def restore(
    folder: Path, source: Path, *, compose: bool = False, say: Callable[[str], None] = print
) -> Report:
    """Bring a backup into the running, still empty service of `folder`.

    Users and passwords of the tracking server are those of the backup afterwards. The runs come
    last: until they are there, an interrupted restore can be begun again, and goes on.

    Raises:
        StorageError: the backup is damaged, the service holds runs or other objects already, a
            part cannot be reached, or what arrived differs from the backup.
    """
    settings = read(folder)
    say("checking the backup ...")
    manifest = verify(source)
    _require_no_runs(settings)
    with settings.store_access():
        missing = service_objects.missing(settings, manifest["objects"])
        say(f"restoring {len(missing):,} objects ...")
        service_objects.put(settings, missing, source / "objects")
        say(f"reading {len(manifest['objects']):,} objects back ...")
        service_objects.check(settings, manifest["objects"])
    for name in reversed(DATABASES):
        say(f"restoring database {name} ...")
        path = source / f"{name}.dump"
        tables = service_database.load(settings, name, path, compose=compose)
        _require_equal(name, manifest["databases"][name]["tables"], tables)
    say("Users and passwords of MLflow are those of the backup now, not those of .env.")
    return _report(manifest)


def _require_empty(target: Path) -> None:
    if not target.is_dir() or any(target.iterdir()):
        raise StorageError(f"{target} is not empty: name a new folder for the backup.")


def _require_no_runs(settings: Settings) -> None:
    if count := service_database.runs(settings):
        raise StorageError(
            f"this service holds {count:,} runs already: restore into a new one, so that nothing "
            "is lost."
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
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error.strerror}.") from error
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
