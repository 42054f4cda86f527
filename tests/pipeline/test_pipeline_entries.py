"""A file of one run that cannot be had, and a server that cannot: they are told apart."""

from pathlib import Path

import pytest

from backbench.errors import TrackingError, UnreachableError
from backbench.pipeline.entries import _had
from backbench.runs import Run


class Store:
    """A tracker whose artifacts fail with an error, and whose server answers or not."""

    def __init__(self, error: TrackingError, *, answers: bool) -> None:
        self.error, self.answers = error, answers

    def download(self, run: Run, path: str) -> Path:
        raise self.error

    def get(self, run_id: str) -> str:
        if not self.answers:
            raise UnreachableError("nobody answers")
        return run_id


RUN = Run("a" * 32, "evaluate clip", "digits", "FINISHED", 0, {}, {}, {}, "server")


@pytest.mark.parametrize("error", [TrackingError("404"), UnreachableError("500 of the bucket")])
def test_a_file_that_cannot_be_had_is_the_fault_of_its_run(error: TrackingError) -> None:
    assert _had(Store(error, answers=True), RUN, "predictions.parquet") is error


def test_a_server_that_is_gone_is_nobody_s_fault() -> None:
    gone = Store(UnreachableError("timed out"), answers=False)
    with pytest.raises(UnreachableError, match="nobody answers"):
        _had(gone, RUN, "predictions.parquet")
