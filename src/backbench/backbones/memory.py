"""Identities remembered between runs: hashing gigabytes of weights once is enough.

One small JSON file a (backbone, checkpoint, hub cache) under `identities/` of the home folder. It
counts as long as the row, the libraries' versions and the weight files' sizes and times are equal.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from backbench.backbones.assembly import Wanted
from backbench.backbones.hub import cache_folder
from backbench.backbones.identity import Identity, canonical
from backbench.backbones.table import Row
from backbench.errors import StorageError
from backbench.files.atomic import write_json
from backbench.files.home import home

_DISTRIBUTIONS = {
    "timm": ("backbench", "timm"),
    "open_clip": ("backbench", "open_clip_torch", "timm"),
    "transformers": ("backbench", "transformers"),
    "pixels": ("backbench",),
}


def remember(row: Row, wanted: Wanted, identity: Identity, evidence: Iterable[Path]) -> None:
    """Write down `identity` with what it was concluded from."""
    note = {
        "identity": identity.to_dict(),
        "row": asdict(row),
        "versions": _versions(row),
        "evidence": [_stat(path) for path in evidence],
    }
    # A read-only home costs a second hash of the weights, which is no reason to fail.
    with suppress(StorageError):
        write_json(_path(row, wanted), note)


def recall(row: Row, wanted: Wanted) -> Identity | None:
    """The identity concluded earlier, or None where anything it hung on has changed."""
    note = _note(row, wanted)
    if not note or note["row"] != asdict(row) or note["versions"] != _versions(row):
        return None
    if any(seen != _stat(Path(seen[0])) for seen in note["evidence"]):
        return None
    # A replaced object of a bucket is another local file, while the old one may still be there.
    if wanted.path and str(wanted.path) not in {seen[0] for seen in note["evidence"]}:
        return None
    return Identity.from_dict(note["identity"])


def evidence(row: Row, wanted: Wanted) -> list[Path]:
    """The files the remembered identity was concluded from."""
    note = _note(row, wanted)
    return [Path(seen[0]) for seen in note["evidence"]] if note else []


def _note(row: Row, wanted: Wanted) -> dict[str, Any] | None:
    try:
        note = json.loads(_path(row, wanted).read_text())
    except (OSError, ValueError):
        return None
    complete = isinstance(note, dict) and {"identity", "row", "versions", "evidence"} <= set(note)
    return note if complete else None


def _path(row: Row, wanted: Wanted) -> Path:
    where = canonical([row.name, wanted.checkpoint, _folder(wanted), str(cache_folder())])
    return home() / "identities" / f"{hashlib.sha256(where.encode()).hexdigest()[:32]}.json"


def _folder(wanted: Wanted) -> str:
    """A relative path means another file in another folder."""
    return "" if "://" in wanted.checkpoint or not wanted.path else str(wanted.path.parent)


def _stat(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), None, None]
    return [str(path), status.st_size, status.st_mtime_ns]


def _versions(row: Row) -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS[row.library]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
