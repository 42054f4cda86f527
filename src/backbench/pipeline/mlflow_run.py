"""What happens to the run that `mlflow run` began before this process."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from backbench.files.switches import begun_by_mlflow
from backbench.runs import recording, tags


@contextmanager
def continued(experiment: str, name: str, about: Mapping[str, object], note: str) -> Iterator[None]:
    """Make the begun run the parent of those recorded inside; nothing where none was begun."""
    if not begun_by_mlflow():
        yield
        return
    with recording(
        experiment=experiment, name=name, tags={**about, tags.STAGE: "main"}, note=note, adopt=True
    ):
        yield


def record_stop(stop: KeyboardInterrupt) -> None:
    """Record that the begun run was stopped, where that came before anybody continued it.

    MLflow, stopped by the same signal, would leave it RUNNING for ever.
    """
    if begun_by_mlflow():
        name = Path(sys.argv[0]).stem
        with suppress(type(stop)), recording(experiment=name, name=name, adopt=True):
            raise stop
