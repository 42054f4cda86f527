"""Arrays that are dear to make, kept in a folder: found by key, verified, bounded in size.

What is read back is what was written, or nothing: a file that is damaged, of another key or of
another shape than safetensors is as good as none, and so is a folder that cannot be written. A file
is replaced whole, so several processes may share a folder; of two that write one key, the last
stays.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbench.errors import StorageError
from backbench.files import atomic
from backbench.files.arrays import Arrays, digest
from backbench.files.listing import with_stats

BYTES = 256 << 20
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Kept:
    """The files of a folder, the least recently used of which go once there are too many bytes."""

    folder: Path
    limit: int = BYTES

    def read(self, key: str) -> Arrays | None:
        """The arrays under a key; None where they are not there whole."""
        from safetensors import SafetensorError, safe_open

        path = self._place(key)
        try:
            os.utime(path)
            with safe_open(path, framework="np") as file:
                digests = _digests(file.metadata(), key)
                found = {name: file.get_tensor(name) for name in digests}
        except (OSError, SafetensorError, ValueError):
            return None
        whole = all(digest(array) == digests[name] for name, array in found.items())
        return found if whole else None

    def write(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under a key, where there is room for them."""
        from safetensors.numpy import save

        given = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        digests = {name: digest(array) for name, array in given.items()}
        about = {"key": key, "sha256": json.dumps(digests)}
        # What cannot be kept is made again the next time: nobody has to hear of it.
        with suppress(StorageError, OSError):
            atomic.write_bytes(self._place(key), save(given, metadata=about), flushed=False)
            self._make_room()

    def _place(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{_SUFFIX}"

    def _make_room(self) -> None:
        left = self.limit
        for path, stat in sorted(self._files(), key=lambda file: -file[1].st_mtime_ns):
            left -= stat.st_size
            if left < 0:
                path.unlink(missing_ok=True)

    def _files(self) -> "list[tuple[Path, os.stat_result]]":
        return list(with_stats(self.folder.iterdir()))  # with what was left half-written


def _digests(about: Mapping[str, str] | None, key: str) -> dict[str, str]:
    """SHA-256 of each array.

    Raises:
        ValueError: the file is of another key, or not one of these.
    """
    if not about or about.get("key") != key:
        raise ValueError(key)
    found: dict[str, str] = json.loads(about.get("sha256", ""))
    return found
