"""A submission as job arrays, each waiting for the one before; all of them or none."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from backbench.pipeline.slurm import Slurm
from backbench.pipeline.submit_folder import SCRIPT, Plan, Submission
from backbench.pipeline.submit_pack import EXTRACT, TRAIN, Stage
from backbench.pipeline.submit_site import Site

_OPTIONS = {
    "account": "--account",
    "qos": "--qos",
    "cpus": "--cpus-per-task",
    "memory": "--mem",
    "time": "--time",
}


def hand_over(submission: Submission, site: Site, slurm: Slurm) -> None:
    """Submit every stage; a refusal takes back those before it and removes the folder.

    The first stage is held until all are submitted: what is taken back has never begun.

    Raises:
        SchedulerError: the scheduler refuses.
    """
    before = ""
    try:
        for stage in submission.plan.stages:
            job = slurm.submit(arguments(submission, stage, site, before))
            submission.add_job(stage.name, job)
            before = str(job)
        slurm.release(submission.jobs[submission.plan.stages[0].name])
    except BaseException:
        slurm.cancel(submission.jobs.values())
        submission.remove()
        raise


def arguments(submission: Submission, stage: Stage, site: Site, before: str) -> list[str]:
    """What sbatch gets for a stage, besides what `task.sbatch` says itself.

    Args:
        submission: its folder.
        stage: one of its plan.
        site: account, partition and the like.
        before: job that has to succeed first; empty for none.
    """
    at_once = f"%{site.limit}" if site.limit else ""
    return [
        f"--job-name=backbench-{stage.name}",
        f"--array=0-{len(stage.tasks) - 1}{at_once}",
        f"--output={submission.log(stage.name, '%a')}",
        f"--chdir={Path.cwd()}",
        "--export=ALL",
        f"--dependency=afterok:{before}" if before else "--hold",
        *_of_site(stage, site),
        str(submission.folder / SCRIPT),
        str(submission.folder),
        stage.name,
    ]


def command_lines(submission: Submission, plan: Plan, site: Site) -> Iterator[str]:
    """What would be typed to submit a plan; the ids of jobs are not known yet."""
    before = ""
    for stage in plan.stages:
        yield shlex.join(["sbatch", *arguments(submission, stage, site, before)])
        before = f"<{stage.name}>"
    yield f"scontrol release <{plan.stages[0].name}>"


def _of_site(stage: Stage, site: Site) -> Iterator[str]:
    steps = {command.step for task in stage.tasks for command in task.commands}
    uses_gpu = bool(steps & {EXTRACT, TRAIN})
    partition = site.partition if uses_gpu else site.cpu_partition or site.partition
    yield from ([f"--partition={partition}"] if partition else [])
    yield from ([f"--gres=gpu:{site.gpus}"] if site.gpus and uses_gpu else [])
    for name, option in _OPTIONS.items():
        yield from ([f"{option}={value}"] if (value := getattr(site, name)) else [])
    yield from shlex.split(site.sbatch)
