"""Where a benchmark may write what it likes: `own_home()`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path


@contextmanager
def own_home() -> Iterator[Path]:
    """An empty folder, which is home and working directory; environment and folder end with it."""
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["BACKBENCH_HOME"] = folder
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(environment)
