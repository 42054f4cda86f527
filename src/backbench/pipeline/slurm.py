"""SLURM: the one place that calls its programs."""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from backbench.errors import SchedulerError
from backbench.files.account import user_name
from backbench.pipeline.units import unspell

Place = tuple[int, int]
"""Job id and array index."""

_PATIENCE = 60
_CAPS = ("MaxSubmitJob", "MaxSubmitPU", "MaxJobCount", "job/cpu/node limit", "temporarily busy")
_LIVE = "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED RESV_DEL_HOLD SPECIAL_EXIT SUSPENDED"
_RUNNING = "RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED"
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class JobState:
    """What the scheduler says of one array task.

    Attributes:
        state: in SLURM's words: PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, NODE_FAIL ...
        reason: why it waits or has ended; empty for none.
        node: where it runs or ran.
    """

    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_waiting(self) -> bool:
        """It will run."""
        return self.state in _LIVE.split() and self.reason != NEVER

    @property
    def is_running(self) -> bool:
        """It runs."""
        return self.state in _RUNNING.split()


class Slurm:
    """The cluster this machine submits to.

    Attributes:
        largest_array: tasks an array may have; its indices go from 0 to MaxArraySize - 1.

    Raises:
        SchedulerError: there is none, or its controller does not answer.
    """

    def __init__(self) -> None:
        if shutil.which("sbatch") is None:
            raise SchedulerError(
                "there is no sbatch on this machine: submit from the cluster's login node, or run "
                "the same plan here with --local."
            )
        try:
            config = _answer("scontrol", "show", "config")
        except SchedulerError as error:
            raise SchedulerError(f"{error} Or run the same plan here with --local.") from None
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
        self.largest_array = int(found[1]) if found else None

    def submit(self, arguments: Sequence[str]) -> int:
        """Hand a job to the scheduler; returns its id.

        Raises:
            SchedulerError: it refuses; the line says why and what can be done.
        """
        done = _run("sbatch", "--parsable", *arguments)
        if done.returncode:
            raise SchedulerError(_refusal(done.stderr))
        return int(done.stdout.strip().partition(";")[0])

    def cancel(self, jobs: Iterable[int]) -> None:
        """Take jobs back.

        Raises:
            SchedulerError: the scheduler does not do it.
        """
        if ids := [str(job) for job in jobs]:
            _answer("scancel", *ids)

    def release(self, job: int) -> None:
        """Let a job begin that was submitted with `--hold`.

        Raises:
            SchedulerError: the scheduler does not do it.
        """
        _answer("scontrol", "release", str(job))

    def states(self, jobs: Collection[int]) -> dict[Place, JobState]:
        """Tasks as the queue has them (ended ones for minutes), else as the accounting does.

        Raises:
            SchedulerError: the controller does not answer.
        """
        if not jobs:
            return {}
        queued = _answer(
            "squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%r|%N"
        )
        wanted = ",".join(map(str, jobs))
        accounted = _run(
            "sacct", "-X", "-n", "-P", "-j", wanted, "--format=JobID,State,Reason,NodeList"
        )
        # Without accounting there are the queue and the journals, which the tasks write.
        told = parse_states(accounted.stdout) if not accounted.returncode else {}
        found = told | parse_states(queued)
        return {place: state for place, state in found.items() if place[0] in jobs}

    def room(self, account: str, qos: str) -> int | None:
        """Tasks that may still be submitted by this user; None without a known limit."""
        caps = list(_caps(user_name(), account, qos))
        if not caps:
            return None
        listed = _answer("squeue", "--me", "--array", "--noheader", "--format=%i")
        return max(min(caps) - len(listed.split()), 0)


def parse_states(listed: str) -> dict[Place, JobState]:
    """Lines `12_3|STATE|reason|nodes`; tasks that wait together are `12_[0-3%2]`."""
    found = {}
    for line in listed.splitlines():
        name, state, reason, node = (*line.split("|"), "", "", "")[:4]
        job, _, indices = name.partition("_")
        told = JobState(state.split(" ")[0].rstrip("+"), _meant(reason), _meant(node))
        if job.isdecimal():
            for index in unspell(indices.strip("[]").partition("%")[0]):
                found[int(job), index] = told
    return found


def _meant(word: str) -> str:
    """Without the words that stand for nothing."""
    return "" if word in ("None", "None assigned", "(null)", "n/a") else word


def _caps(user: str, account: str, qos: str) -> Iterator[int]:
    """Limits of submitted jobs that the accounting knows for a user."""
    columns = "format=Account,MaxSubmitJobs,DefaultQOS"
    quality = {qos}
    for row in _rows("show", "assoc", f"user={user}", columns):
        if not account or row[0] == account:
            yield from (int(cap) for cap in row[1:2] if cap)
            quality |= {qos or row[2]}
    for row in _rows("show", "qos", "format=Name,MaxSubmitJobsPU"):
        if row[0] in (quality - {""} or {"normal"}) and row[1]:
            yield int(row[1])


def _rows(*words: str) -> list[list[str]]:
    """What the accounting answers; nothing where there is none."""
    if shutil.which("sacctmgr") is None:
        return []
    done = _run("sacctmgr", "--noheader", "--parsable2", *words)
    return [] if done.returncode else [line.split("|") for line in done.stdout.splitlines()]


def _run(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - its arguments are a list
            [program, *words], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError:
        raise SchedulerError(f"there is no {program} on this machine.") from None
    except subprocess.TimeoutExpired:
        raise SchedulerError(
            f"{program} gave no answer in {_PATIENCE} seconds. Is slurmctld up? Try: scontrol ping."
        ) from None


def _answer(program: str, *words: str) -> str:
    done = _run(program, *words)
    if done.returncode:
        raise SchedulerError(f"{program} failed: {_errors(done.stderr)[-1]}. Try: scontrol ping.")
    return done.stdout


def _refusal(text: str) -> str:
    reason = "; ".join(_errors(text))
    if any(mark in text for mark in _CAPS):
        return (
            f"the scheduler takes no more jobs ({reason}). Wait until some have ended, or pack the "
            "plan into fewer tasks with --max-jobs (BACKBENCH_MAX_JOBS in site.env)."
        )
    return f"sbatch refuses: {reason}. Correct site.env or name another one with --site."


def _errors(text: str) -> list[str]:
    """The lines that say what is wrong, without the name of the program."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line] or lines or ["no reason given"]
    return [re.sub(r"^\w+: (error|fatal): ", "", line).rstrip(".") for line in told]
