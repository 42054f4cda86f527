"""A submission on this machine: the same tasks by the same script, a few at a time."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, Popen

from backbench.pipeline.console import bar, say
from backbench.pipeline.submit_folder import SCRIPT, Submission
from backbench.pipeline.submit_pack import Stage

_PAUSE = 0.05


def run_here(submission: Submission, jobs: int) -> bool:
    """Run stage after stage until one has a failed task; whether none has."""
    with submission.lock:
        return all(_run_stage(submission, stage, jobs) for stage in submission.plan.stages)


def _run_stage(submission: Submission, stage: Stage, jobs: int) -> bool:
    """All tasks of a stage, `jobs` at a time; the next ones are tried after a failure too."""
    waiting, whole = list(range(len(stage.tasks))), True
    with bar(stage.name) as advance, _ended({}) as running:
        while waiting or running:
            while waiting and len(running) < jobs:
                index = waiting.pop(0)
                running[index] = _start(submission, stage, index)
            for index in [i for i, process in running.items() if process.poll() is not None]:
                status = running.pop(index).returncode
                say(f"{'failed' if status else 'done':9} {stage.name} {index}")
                whole = whole and not status
            advance(len(stage.tasks) - len(waiting) - len(running), len(stage.tasks))
            time.sleep(_PAUSE)
    return whole


def _start(submission: Submission, stage: Stage, index: int) -> Popen[bytes]:
    """In a session of its own: an interrupted terminal is answered by us, once."""
    words = ["bash", str(submission.folder / SCRIPT), str(submission.folder), stage.name]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    with submission.log(stage.name, index).open("ab") as log:
        return Popen(  # noqa: S603 - our own script
            [*words, str(index)], env=environment, stdin=DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


@contextmanager
def _ended(
    running: dict[int, Popen[bytes]],
) -> Iterator[dict[int, Popen[bytes]]]:
    """Processes that do not outlive this one's interest in them."""
    try:
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
