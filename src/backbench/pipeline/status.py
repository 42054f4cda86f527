"""status: what of the submissions of a task is there, under way, failed or missing; what next."""

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.table import Table

from backbench.errors import SchedulerError, unknown
from backbench.pipeline.console import console, say
from backbench.pipeline.status_report import DONE, FAILED, Report
from backbench.pipeline.submit_folder import Submission, submissions
from backbench.pipeline.submit_pack import BOARD, EVALUATE, EXTRACT, TRAIN, Item
from backbench.pipeline.submit_states import TaskState, failure_lines


def status(task: str = "") -> bool:
    """Print how the submissions of a task fare, a table for each variant and head of it.

    Done is what the feature store, the tracker or the spool holds, whatever a job says of itself.

    Args:
        task: its name or path; by default that of the newest submission.

    Returns:
        Whether everything is there, and on the tracker.

    Raises:
        SchedulerError: nothing was submitted, or the scheduler cannot be asked.
        TrackingError: the tracker cannot be asked.
    """
    reports = [Report.of(found) for found in _by_question(task)]
    for report in reports:
        _show(report)
    return all(report.is_whole for report in reports)


def _by_question(task: str) -> list[list[Submission]]:
    """Submissions of each question of a task, newest first."""
    known = submissions()
    if not known:
        raise SchedulerError("nothing was submitted yet: backbench submit TASK --backbones NAMES.")
    wanted = task or known[0].plan.asked.task
    chosen = [each for each in known if wanted in (each.plan.asked.task, each.plan.asked.source)]
    if not chosen:
        line = unknown("submission of task", task, {each.plan.asked.task for each in known})
        raise SchedulerError(line)
    questions = dict.fromkeys(each.plan.asked.question for each in chosen)
    return [[each for each in chosen if each.plan.asked.question == one] for one in questions]


def _show(report: Report) -> None:
    console.print(_table(report))
    say(f"leaderboard: {report.kinds[Item(BOARD)]}")
    for line in (*_jobs(report), *_failures(report)):
        say(line)
    if report.is_whole:
        say("Everything is there.")
    elif report.live:
        say(f"Under way: {len(report.live)} waiting or running; ask again later.")
    for line in report.next():
        say(f"next      {line}")


def _table(report: Report) -> Table:
    """A row a backbone: its features, its units by seed, its summary."""
    asked, seeds = report.asked, report.there.question.task.seeds
    title = " ".join(word for word in (asked.task, asked.variant, asked.head) if word)
    table = Table(title=title, title_justify="left")
    for column in ("backbone", "features", *(f"seed {seed}" for seed in seeds), "summary"):
        table.add_column(column, overflow="fold")
    kinds = report.kinds
    for each in report.there.standings:
        name = each.backbone
        units = (
            [kinds[Item(TRAIN, name, seed, fold)] for fold in range(each.folds)] for seed in seeds
        )
        features, summary = kinds[Item(EXTRACT, name)], kinds[Item(EVALUATE, name)]
        table.add_row(name, features, *map(_counted, units), summary)
    return table


def _counted(kinds: Iterable[str]) -> str:
    """`4 done`, or `2 done, 1 running, 1 failed`."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).items())


def _jobs(report: Report) -> Iterator[str]:
    """A line for each stage of the newest submission, and of those with tasks under way."""
    live = {state.submission.folder for state in report.live}
    for each in report.submissions:
        if each is not report.submissions[0] and each.folder not in live:
            continue
        yield f"{each.folder}:"
        of_it = [state for state in report.states if state.submission is each]
        for stage in each.plan.stages:
            tasks = [state for state in of_it if state.stage == stage.name]
            reasons = sorted({s.reason for s in tasks if s.kind == "waiting" and s.reason})
            job = f"job {tasks[0].job}, " if tasks[0].job else ""
            why = f" ({', '.join(reasons)})" if reasons else ""
            yield f"  {stage.name}: {job}tasks {_counted(s.kind for s in tasks)}{why}"


def _failures(report: Report) -> Iterator[str]:
    for state in report.failed:
        yield from _failure(state)


def _failure(state: TaskState) -> Iterator[str]:
    if state.kind == FAILED:
        yield from failure_lines(state)
    elif state.kind == DONE:
        log = state.submission.log(state.stage, state.index)
        yield (
            f"failed    {state.name}: it has ended well, but what it should have brought is not "
            f"with the tracker, nor in this spool or store; see {log}"
        )
    else:
        yield f"never ran {state.name}: {state.reason}"
