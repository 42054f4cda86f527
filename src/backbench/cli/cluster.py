"""`backbench submit` and `backbench status`: a whole comparison on a cluster, or on all cores."""

from pathlib import Path

import click

from backbench.cli import options

COUNT = click.IntRange(min=1)


@click.command()
@click.argument("task")
@click.option(
    "--backbones",
    type=options.Words(),
    required=True,
    help="backbone or backbone=checkpoint, separated by commas.",
)
@click.option("--seeds", default="all", show_default=True, help="all, 42 or 42,123,456.")
@options.together(options.head, options.variant, options.overrides)
@click.option("--tasks", type=COUNT, help="Split a backbone's units into so many tasks.")
@click.option("--limit", type=COUNT, help="At most so many tasks of an array at once.")
@click.option("--max-jobs", type=COUNT, help="Submit at most so many tasks (MaxSubmitJobs).")
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The cluster's settings; default: slurm/site.env.",
)
@click.option("--offline", is_flag=True, help="Nodes record to the spool; the rest waits for sync.")
@click.option("--local", is_flag=True, help="Run the plan on this machine instead.")
@click.option("--jobs", type=COUNT, help="With --local: processes at a time; default: all cores.")
@click.option("--dry-run", is_flag=True, help="Print the plan and submit nothing.")
def submit(
    task: str,
    backbones: tuple[str, ...],
    seeds: str,
    head: str,
    variant: str,
    overrides: tuple[str, ...],
    tasks: int | None,
    limit: int | None,
    max_jobs: int | None,
    site: Path | None,
    offline: bool,
    local: bool,
    jobs: int | None,
    dry_run: bool,
) -> int:
    """Submit what is missing of TASK as SLURM jobs that wait for each other, and come back."""
    from backbench.pipeline.question import Question
    from backbench.pipeline.submit import Wishes
    from backbench.pipeline.submit import submit as run

    question = Question.ask(task, variant=variant, head=head, overrides=overrides)
    wishes = Wishes(
        site=site,
        tasks=tasks,
        limit=limit,
        max_jobs=max_jobs,
        offline=offline,
        local=local,
        jobs=jobs,
        dry_run=dry_run,
    )
    return 0 if run(question, backbones, seeds=seeds, wishes=wishes) else 1


@click.command()
@click.argument("task", default="")
def status(task: str) -> int:
    """What of the submissions of TASK is done, running, failed and missing, and what to run next.

    Without TASK: of the newest submission. Exit status 0 if everything is there, else 1.
    """
    from backbench.pipeline.status import status as run

    return 0 if run(task) else 1


COMMANDS = (submit, status)
