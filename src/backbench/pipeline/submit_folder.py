"""A submission on disk: what was planned, which jobs it became, what its tasks wrote down.

::

    submissions/<task>-<time>-<4 letters>/
      plan.json      what was asked, and every command of every task
      site.env, task.sbatch           the settings and the script the tasks run with
      tasks/<stage>-<index>           commands, one a line
      jobs.json      stage -> job id, once submitted
      journal/<stage>-<index>         what the task's script says of itself
      logs/<stage>-<index>.log        what its commands printed
"""

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from backbench.errors import StorageError
from backbench.files import atomic
from backbench.files.home import submissions_folder
from backbench.pipeline.question import Question
from backbench.pipeline.submit_journal import Journal, read_journal
from backbench.pipeline.submit_pack import Command, Stage, Task
from backbench.pipeline.submit_site import Site, packaged

FORMAT = 1
SCRIPT = "task.sbatch"
_NEXT_PHASE = "then"


@dataclass(frozen=True)
class Asked:
    """What a submission is about; two with equal fields but backbones and seeds belong together.

    Attributes:
        task: its name.
        source: the task as it was named.
        folder: where it was asked, and where every command runs.
    """

    task: str
    source: str
    folder: str
    variant: str
    head: str
    overrides: tuple[str, ...]
    backbones: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, question: Question, backbones: Sequence[str], seeds: Sequence[int]) -> "Asked":
        """In this folder."""
        return cls(
            task=question.task.name,
            source=question.source,
            folder=str(Path.cwd()),
            variant=question.task.variant,
            head=question.task.head["kind"],
            overrides=question.overrides,
            backbones=tuple(backbones),
            seeds=tuple(seeds),
        )

    @property
    def question(self) -> tuple[object, ...]:
        """Equal for submissions of one question."""
        return (self.task, self.source, self.folder, self.variant, self.head, self.overrides)


@dataclass(frozen=True)
class Plan:
    """What is to be done, in which order.

    Attributes:
        where: `slurm` or `local`.
        how: the options that say how, to ask the same again.
        offline: tasks record to the spool only.
        made: UTC, ISO 8601.
    """

    asked: Asked
    where: Literal["slurm", "local"]
    how: tuple[str, ...]
    offline: bool
    made: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Submission:
    """A folder of `submissions`."""

    folder: Path

    @cached_property
    def plan(self) -> Plan:
        """What was planned.

        Raises:
            StorageError: it was written by another version, or is damaged.
        """
        path = self.folder / "plan.json"
        try:
            content = json.loads(path.read_text())
            if content.pop("format") == FORMAT:
                return _plan(content)
            error: Exception = ValueError("another format")
        except (OSError, ValueError, KeyError, TypeError) as caught:
            error = caught
        raise StorageError(
            f"{path} is no plan of this version ({error}). Move {self.folder} away."
        ) from error

    @property
    def jobs(self) -> dict[str, int]:
        """Job id of each stage that was submitted."""
        path = self.folder / "jobs.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def add_job(self, stage: str, job: int) -> None:
        """Note the job a stage became."""
        atomic.write_json(self.folder / "jobs.json", self.jobs | {stage: job})

    def log(self, stage: str, index: int | str) -> Path:
        """Where a task's output goes."""
        return self.folder / "logs" / f"{stage}-{index}.log"

    def journal(self, stage: str, index: int) -> Journal | None:
        """What a task said of itself; None where it never began."""
        path = self.folder / "journal" / f"{stage}-{index}"
        return read_journal(path.read_text()) if path.exists() else None

    @property
    def lock(self) -> FileLock:
        """Held by the process that runs it on this machine."""
        return FileLock(self.folder / ".lock")

    @property
    def runs_here(self) -> bool:
        """Whether such a process lives."""
        try:
            self.lock.acquire(blocking=False)
        except Timeout:
            return True
        self.lock.release()
        return False

    def remove(self) -> None:
        """Nothing came of it."""
        shutil.rmtree(self.folder)


def write(plan: Plan, site: Site) -> Submission:
    """Make the folder of a submission; it is there whole or not at all.

    Raises:
        StorageError: the disk is full, or the home cannot be written.
    """
    stamp = datetime.fromisoformat(plan.made).strftime("%Y%m%d-%H%M%S")
    plain = re.sub(r"[^\w.-]", "_", plan.asked.task)
    name = f"{plain}-{stamp}-{secrets.token_hex(2)}"
    folder = submissions_folder() / name
    with atomic.replacing(folder) as draft:
        draft.mkdir(mode=0o700)  # the settings may hold the password of a proxy
        _write(draft, plan, site)
    return Submission(folder)


def _write(folder: Path, plan: Plan, site: Site) -> None:
    for part in ("tasks", "journal", "logs"):
        (folder / part).mkdir()
    atomic.write_json(folder / "plan.json", {"format": FORMAT, **asdict(plan)})
    atomic.write_text(folder / "site.env", site.text())
    atomic.write_text(folder / SCRIPT, packaged(SCRIPT).read_text())
    for stage in plan.stages:
        for index, task in enumerate(stage.tasks):
            atomic.write_text(folder / "tasks" / f"{stage.name}-{index}", lines(task))


def lines(task: Task) -> str:
    """The commands of a task as its script reads them."""
    phases = ("".join(f"{each.line}\n" for each in phase) for phase in task.phases)
    return f"{_NEXT_PHASE}\n".join(phases)


def submissions() -> list[Submission]:
    """Every submission, newest first."""
    found = [
        Submission(path)
        for path in submissions_folder().glob("*")
        if not path.name.startswith(".") and (path / "plan.json").is_file()
    ]
    return sorted(found, key=lambda each: each.plan.made, reverse=True)


def now() -> str:
    """This moment, as a plan holds it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _plan(content: Mapping[str, Any]) -> Plan:
    asked: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content["asked"].items()
    }
    return Plan(
        **dict(
            content,
            asked=Asked(**asked),
            how=tuple(content["how"]),
            stages=tuple(map(_stage, content["stages"])),
        )
    )


def _stage(content: Mapping[str, Any]) -> Stage:
    return Stage(content["name"], tuple(Task(tuple(_phases(one))) for one in content["tasks"]))


def _phases(task: Mapping[str, Any]) -> Iterator[tuple[Command, ...]]:
    for phase in task["phases"]:
        yield tuple(Command(**dict(one, seeds=tuple(one["seeds"]))) for one in phase)
