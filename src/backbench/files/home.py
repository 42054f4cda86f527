"""The folder of everything that can be made again, and the spool, which cannot.

`BACKBENCH_HOME` names it; the default is `~/.cache/backbench`.
"""

import os
from pathlib import Path


def home() -> Path:
    """The root folder; it need not exist yet."""
    given = os.environ.get("BACKBENCH_HOME")
    return Path(given).expanduser().resolve() if given else Path.home() / ".cache" / "backbench"


def is_ours(path: Path) -> bool:
    """Whether a path is below that folder, where everything but the spool can be made again."""
    return path.resolve().is_relative_to(home().resolve())


def features_folder() -> Path:
    """One folder of feature files a sample set: `features/<samples>/<backbone>-<key>.h5`."""
    return home() / "features"


def staging_folder() -> Path:
    """Local copies of objects of S3 buckets."""
    return home() / "staging"


def artifacts_folder() -> Path:
    """Local copies of artifacts of finished runs, which never change."""
    return home() / "artifacts"


def drawn_folder() -> Path:
    """What boards drew of their rows, so that the next one need not."""
    return home() / "drawn"


def compiled_folder() -> Path:
    """Machine code of the kernels that are compiled at their first call."""
    return home() / "compiled"


def submissions_folder() -> Path:
    """One folder a submission: its plan, its tasks, their journals and logs."""
    return home() / "submissions"


def spool_folder() -> Path:
    """Runs that wait for the tracking server; `BACKBENCH_SPOOL` puts it elsewhere."""
    given = os.environ.get("BACKBENCH_SPOOL")
    return Path(given).expanduser().resolve() if given else home() / "spool"
