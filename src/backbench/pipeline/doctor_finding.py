"""What a check of `backbench doctor` is asked, and what it answers."""

from dataclasses import dataclass
from typing import Literal

from backbench.tasks import Task

Mark = Literal["ok", "bad", "-"]


@dataclass(frozen=True)
class Asked:
    """What the checks are about.

    Attributes:
        task: whose experiment, samples and backbones.
        backbones: (name, checkpoint) pairs as given; empty for those whose features are here.
        verify: read feature files whole instead of their headers.
    """

    task: Task
    backbones: tuple[tuple[str, str], ...] = ()
    verify: bool = False


@dataclass(frozen=True)
class Finding:
    """One line: `ok`, `bad` (it ends with the cure), or `-` where there is nothing to check."""

    mark: Mark
    text: str


def well(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def bad(text: str) -> Finding:
    """Something is wrong; `text` ends with what to do."""
    return Finding("bad", text)


def nothing(text: str) -> Finding:
    """There is nothing to check, which is no failure."""
    return Finding("-", text)
