"""What happens to the run that `mlflow run` began before this process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from backbench.runs import recording, tags


def begun() -> bool:
    """Whether `mlflow run` began a run that nobody has continued yet."""
    return "MLFLOW_RUN_ID" in os.environ


@contextmanager
def continued(experiment: str, name: str, about: Mapping[str, object], note: str) -> Iterator[None]:
    """Make the begun run the parent of those recorded inside; nothing where none was begun."""
    if not begun():
        yield
        return
    with recording(
        experiment=experiment, name=name, tags={**about, tags.STAGE: "main"}, note=note, adopt=True
    ):
        yield
