"""What the script of a task writes down of itself: `slurm/task.sbatch` is the other side."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Journal:
    """What the script of a task has written down, the last start of it.

    Attributes:
        node: where it ran.
        status: exit status; None where it has not ended, or was killed before it could say so.
        stopped: it was asked to end.
        failed: the commands that failed, each after its exit status.
    """

    node: str
    status: int | None
    stopped: bool
    failed: tuple[str, ...]


def read_journal(text: str) -> Journal:
    """The lines since the last start: `time event words`."""
    events = [line.split(" ", 2)[1:] for line in text.splitlines() if line.count(" ")]
    last = max((i for i, event in enumerate(events) if event[0] == "started"), default=0)
    node, status, stopped, failed = "", None, False, []
    for event, *words in events[last:]:
        told = " ".join(words)
        if event == "started":
            node = told.rpartition(" ")[2]
        elif event == "failed":
            failed.append(told)
        elif event == "stopped":
            stopped = True
        elif told.isdecimal():
            status = int(told)
    return Journal(node, status, stopped, tuple(failed))
