"""submit: plan what is missing, pack it, and hand it to SLURM or to this machine's cores."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backbench.errors import SchedulerError
from backbench.files import atomic
from backbench.files.home import home, submissions_folder
from backbench.files.switches import is_offline
from backbench.pipeline import submit_folder
from backbench.pipeline.chain import check_backbones
from backbench.pipeline.console import say
from backbench.pipeline.question import Question
from backbench.pipeline.slurm import Slurm
from backbench.pipeline.submit_folder import SCRIPT, Asked, Plan, Submission, submissions
from backbench.pipeline.submit_local import run_here
from backbench.pipeline.submit_pack import BOARD, TRAIN, Item, Stage, fitted
from backbench.pipeline.submit_plan import plan_stages
from backbench.pipeline.submit_site import Site, packaged
from backbench.pipeline.submit_slurm import command_lines, hand_over
from backbench.pipeline.submit_states import failure_lines, in_flight, task_states
from backbench.pipeline.submit_survey import Survey, survey
from backbench.pipeline.units import missing, parse_seeds
from backbench.runs.redact import redacted


@dataclass(frozen=True)
class Wishes:
    """How a plan is to be carried out.

    Attributes:
        site: the file with the site's settings; by default `slurm/site.env` here.
        tasks: into how many tasks the units of a backbone are split; by default one, and on this
            machine as many as keep the cores busy.
        limit: tasks of an array that may run at once.
        max_jobs: tasks that may be submitted in all.
        offline: tasks record to the spool only; evaluate and leaderboard wait.
        local: run it here, `jobs` processes at a time (by default one a core).
        dry_run: print everything, change nothing.
    """

    site: Path | None = None
    tasks: int | None = None
    limit: int | None = None
    max_jobs: int | None = None
    offline: bool = False
    local: bool = False
    jobs: int | None = None
    dry_run: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The options that ask for the same again."""
        named = {"site": self.site, "tasks": self.tasks, "limit": self.limit}
        named |= {"max-jobs": self.max_jobs, "jobs": self.jobs}
        flags = {"offline": self.offline, "local": self.local}
        given = [word for name, value in named.items() if value for word in (f"--{name}", value)]
        return tuple(map(str, [*given, *(f"--{name}" for name, asked in flags.items() if asked)]))

    @property
    def cores(self) -> int:
        """Processes at a time on this machine."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return self.jobs or usable or os.cpu_count() or 1

    def settled(self) -> Site:
        """The site's settings, as far as they hold here, with those that were wished for.

        Raises:
            SchedulerError: the file cannot be read, or a line of it is wrong.
        """
        site = Site() if self.local else Site.read(self.site)
        given = {"limit": self.limit, "max_jobs": self.max_jobs}
        offline = "1" if self.offline or site.is_offline or is_offline() else ""
        return replace(site, offline=offline, **{k: str(v) for k, v in given.items() if v})


def submit(
    question: Question, backbones: Sequence[str], *, seeds: str = "all", wishes: Wishes
) -> bool:
    """Carry out what is missing of a question.

    Returns:
        Whether nothing has failed; a plan that SLURM has got is not waited for.

    Raises:
        BackbenchError: something asked for is unknown or wrong, weights cannot be fetched, the
            tracker does not answer, or the scheduler refuses; then nothing is submitted.
    """
    atomic.check_folder(home())
    check_backbones(question, backbones)
    backbones = tuple(backbones)
    chosen = parse_seeds(seeds, question.task.seeds)
    site, slurm = wishes.settled(), None if wishes.local else _slurm(wishes)
    there = survey(question, backbones, fetch=not wishes.dry_run)
    _tell(there, chosen)
    stages = plan_stages(there, chosen, tasks=_tasks(wishes, there), tracked=not site.is_offline)
    if not stages:
        say(_nothing(there, offline=site.is_offline))
        return True
    asked = Asked.of(question, backbones, chosen)
    _refuse_twice(asked, stages)
    stages = fitted(stages, *_caps(site, slurm))
    plan = Plan(
        asked,
        "local" if wishes.local else "slurm",
        wishes.words,
        site.is_offline,
        submit_folder.now(),
        stages,
    )
    if wishes.dry_run:
        _print(plan, site)
        return True
    return _carry_out(plan, site, slurm, wishes.cores)


def _slurm(wishes: Wishes) -> Slurm | None:
    """A dry run tells the plan where there is no cluster too."""
    try:
        return Slurm()
    except SchedulerError as error:
        if not wishes.dry_run:
            raise
        say(f"note      {error}")
        return None


def _tasks(wishes: Wishes, there: Survey) -> int:
    """Into how many tasks the units of a backbone are split."""
    if wishes.tasks or not wishes.local:
        return wishes.tasks or 1
    seeds = there.question.task.seeds
    busy = sum(bool(missing(each.held, seeds, each.folds)) for each in there.standings)
    return math.ceil(wishes.cores / max(busy, 1))


def _caps(site: Site, slurm: Slurm | None) -> tuple[int | None, int | None]:
    """Tasks in all, and tasks an array, that the queue takes; None for any number.

    Raises:
        SchedulerError: it takes none now.
    """
    given = int(site.max_jobs) if site.max_jobs else None
    if slurm is None:
        return given, None
    room = given or slurm.room(site.account, site.qos)
    if room == 0:
        raise SchedulerError(
            "as many of your jobs are submitted as the accounting allows (sacctmgr show assoc): "
            "wait until some have ended (squeue --me), then submit again."
        )
    return room, slurm.largest_array


def _refuse_twice(asked: Asked, stages: Sequence[Stage]) -> None:
    """What another submission is about to bring is not submitted again; a board may be."""
    others = [each for each in submissions() if each.plan.asked.question == asked.question]
    wanted = {i for stage in stages for t in stage.tasks for c in t.commands for i in c.items}
    wanted -= {Item(BOARD)}
    if found := in_flight(wanted, task_states(others)):
        state = next(iter(found.values()))
        raise SchedulerError(
            f"{state.submission.folder.name} is about to bring {len(found)} of the {len(wanted)} "
            f"things that are missing ({state.name} is {state.kind}). Look with `backbench status "
            f"{asked.source}`; wait for it, or end it: {state.ended_by}."
        )


def _carry_out(plan: Plan, site: Site, slurm: Slurm | None, cores: int) -> bool:
    submission = submit_folder.write(plan, site)
    say(f"plan      {submission.folder}")
    if slurm:
        hand_over(submission, site, slurm)
        for stage in plan.stages:
            say(f"submitted {stage.name}: job {submission.jobs[stage.name]}, {_count(stage)}")
        say(f"next      backbench status {plan.asked.source}")
        return True
    return _run(submission, cores)


def _run(submission: Submission, cores: int) -> bool:
    whole = run_here(submission, cores)
    for state in task_states([submission]):
        for line in failure_lines(state):
            say(line)
    if whole:
        _show_board(submission)
    else:
        say(f"next      backbench status {submission.plan.asked.source}")
    return whole


def _show_board(submission: Submission) -> None:
    """What the last command of a plan has said, where it made the board."""
    stage = submission.plan.stages[-1]
    if stage.tasks[-1].commands[-1].step == BOARD:
        log = submission.log(stage.name, len(stage.tasks) - 1).read_text(errors="replace")
        say(f"\n{log}".rpartition("\n$ ")[2].partition("\n")[2].rstrip())


def _tell(there: Survey, seeds: Sequence[int]) -> None:
    """A line for each backbone: what is there."""
    for each in there.standings:
        gaps = missing(each.held, seeds, each.folds)
        absent = sum(map(len, gaps.values()))
        features = "there" if each.has_features else "missing"
        weights = "" if each.has_weights else ", weights not fetched yet"
        say(
            f"{each.backbone}: features {features}{weights}; {absent} of "
            f"{len(seeds) * each.folds} units missing; summary "
            f"{'there' if each.summary else 'missing'}"
        )


def _nothing(there: Survey, *, offline: bool) -> str:
    if there.board:
        return "Nothing to submit: everything is there."
    if offline:
        return (
            "Nothing to submit: what is left needs the tracker. Send what was recorded with "
            "`backbench sync`, then submit with --local."
        )
    return "Nothing to submit: what is left needs the seeds that were not asked for."


def _print(plan: Plan, site: Site) -> None:
    """Everything that would happen."""
    folder = submissions_folder() / f"{plan.asked.task}-<time>"
    for stage in plan.stages:
        say(f"\n{stage.name}: {_count(stage)}")
        for index, task in enumerate(stage.tasks):
            units = sum(item.step == TRAIN for c in task.commands for item in c.items)
            say(f"  task {index}" + (f", {units} units" if units else ""))
            for line in submit_folder.lines(task).splitlines():
                say(f"    {line}")
    if plan.where == "slurm":
        say("")
        for line in command_lines(Submission(folder), plan, site):
            say(line)
    say(f"\n{folder}/site.env\n{redacted(site.text())}")
    say(f"{folder}/{SCRIPT}\n{packaged(SCRIPT).read_text()}")
    say("Nothing was submitted (--dry-run).")


def _count(stage: Stage) -> str:
    return "1 task" if len(stage.tasks) == 1 else f"{len(stage.tasks)} tasks"
