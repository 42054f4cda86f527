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


def remember(row: Row, checkpoint: str, identity: Identity, evidence: Iterable[Path]) -> None:
    """Write down `identity` with what it was concluded from."""
    note = {
        "identity": identity.to_dict(),
        "row": asdict(row),
        "versions": _versions(row),
        "evidence": [_stat(path) for path in evidence],
    }
    # A read-only home costs a second hash of the weights, which is no reason to fail.
    with suppress(StorageError):
        write_json(_path(row, checkpoint), note)


def recall(row: Row, checkpoint: str) -> Identity | None:
    """The identity concluded earlier, or None where anything it hung on has changed."""
    note = _note(row, checkpoint)
    if not note or note["row"] != asdict(row) or note["versions"] != _versions(row):
        return None
    if any(seen != _stat(Path(seen[0])) for seen in note["evidence"]):
        return None
    return Identity.from_dict(note["identity"])


def evidence(row: Row, checkpoint: str) -> list[Path]:
    """The files the remembered identity was concluded from."""
    note = _note(row, checkpoint)
    return [Path(seen[0]) for seen in note["evidence"]] if note else []


def _note(row: Row, checkpoint: str) -> dict[str, Any] | None:
    try:
        note = json.loads(_path(row, checkpoint).read_text())
    except (OSError, ValueError):
        return None
    complete = isinstance(note, dict) and {"identity", "row", "versions", "evidence"} <= set(note)
    return note if complete else None


def _path(row: Row, checkpoint: str) -> Path:
    where = canonical([row.name, _located(checkpoint), str(cache_folder())])
    return home() / "identities" / f"{hashlib.sha256(where.encode()).hexdigest()[:32]}.json"


def _located(checkpoint: str) -> str:
    """A relative path means another file in another folder."""
    path = Path(checkpoint).expanduser()
    return str(path.resolve()) if path.suffix and "://" not in checkpoint else checkpoint


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
