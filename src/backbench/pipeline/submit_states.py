"""How the tasks of submissions fare, and with them the items that are not there yet."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbench.pipeline.slurm import JobState, Place, Slurm
from backbench.pipeline.submit_folder import Submission
from backbench.pipeline.submit_journal import Journal
from backbench.pipeline.submit_pack import Item, Task

Kind = Literal["waiting", "running", "done", "failed", "missing"]
_TAIL = 8192
LIVE: tuple[Kind, ...] = ("waiting", "running")


@dataclass(frozen=True)
class TaskState:
    """How a task fares.

    Attributes:
        submission, stage, index: which one.
        task: its commands.
        kind: `missing` where it never began and never will.
        reason: why it waits, failed or never began.
        job: its job id; None on this machine.
    """

    submission: Submission
    stage: str
    index: int
    task: Task
    kind: Kind
    reason: str
    job: int | None

    @property
    def name(self) -> str:
        """As SLURM calls it, with the stage."""
        where = f"{self.job}_{self.index}" if self.job else str(self.index)
        return f"{self.stage} {where}"

    @property
    def ended_by(self) -> str:
        """What a person types to end the submission."""
        if self.job is None:
            return "Ctrl-C where it runs"
        return f"scancel {' '.join(map(str, sorted(self.submission.jobs.values())))}"


def task_states(submissions: Iterable[Submission]) -> list[TaskState]:
    """Every task of submissions, in their order.

    Raises:
        SchedulerError: there are jobs, and the scheduler cannot be asked.
    """
    submissions = list(submissions)
    jobs = {job for each in submissions for job in each.jobs.values()}
    states = Slurm().states(jobs) if jobs else {}
    return [state for each in submissions for state in _of_submission(each, states)]


def _of_submission(submission: Submission, states: Mapping[Place, JobState]) -> Iterator[TaskState]:
    jobs, here = submission.jobs, submission.plan.where == "local" and submission.runs_here
    for stage in submission.plan.stages:
        job = jobs.get(stage.name)
        for index, task in enumerate(stage.tasks):
            journal = submission.journal(stage.name, index)
            told = states.get((job, index)) if job else _told_here(journal, here=here)
            kind, reason = judged(told, journal)
            yield TaskState(submission, stage.name, index, task, kind, reason, job)


def _told_here(journal: Journal | None, *, here: bool) -> JobState | None:
    """What a scheduler would say of a task on this machine."""
    if not here or (journal and journal.status is not None):
        return None
    return JobState("RUNNING" if journal else "PENDING")


def judged(told: JobState | None, journal: Journal | None) -> tuple[Kind, str]:
    """How a task fares, by the scheduler where it knows it, else by its own journal."""
    if told and told.is_running:
        return "running", ""
    if told and told.is_waiting:
        return "waiting", told.reason
    if told and told.state == "COMPLETED":
        return "done", ""
    why = " ".join(word for word in (told.state, told.reason) if word) if told else ""
    if journal is None:
        return "missing", why or "it never began: what comes before it failed or was cancelled"
    if told is None and journal.status == 0:
        return "done", ""
    return "failed", _failure(why, journal)


def _failure(why: str, journal: Journal) -> str:
    ended = f"exit status {journal.status}" if journal.status is not None else "killed"
    stopped = "asked to stop" if journal.stopped else ""
    place = f"on {journal.node}" if journal.node else ""
    return ", ".join(word for word in (why, stopped, ended, place) if word)


def failure_lines(state: TaskState) -> Iterator[str]:
    """For a failed task: why, the commands that failed, its log and how that ends."""
    if state.kind != "failed":
        return
    yield f"failed    {state.name}: {state.reason}"
    journal = state.submission.journal(state.stage, state.index)
    for failed in journal.failed if journal else ():
        status, _, line = failed.partition(" ")
        yield f"          exit status {status}: {line}"
    log = state.submission.log(state.stage, state.index)
    yield f"          {log}: {last_line(log)}"


def last_line(log: Path) -> str:
    """The last line of a log, which is mostly the error."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return "(no such file)"
    return next((line.strip() for line in reversed(lines) if line.strip()), "(empty)")


def newest(states: Sequence[TaskState]) -> dict[Item, TaskState]:
    """The task of the newest submission that is to bring each item; `states` come newest first."""
    found: dict[Item, TaskState] = {}
    for state in states:
        for command in state.task.commands:
            for item in command.items:
                found.setdefault(item, state)
    return found


def in_flight(items: Collection[Item], states: Sequence[TaskState]) -> dict[Item, TaskState]:
    """Those of the items that a waiting or running task is to bring."""
    tasks = newest(states)
    return {i: tasks[i] for i in items if i in tasks and tasks[i].kind in LIVE}
