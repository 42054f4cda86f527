"""leaderboard: rank what is comparable and complete, write the board, move the champion."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from backbench.backbones import parse_backbone, spelled
from backbench.errors import BackbenchError, BoardError, TrackingError, unknown
from backbench.files import atomic
from backbench.files.home import drawn_folder, home
from backbench.files.kept import Kept
from backbench.leaderboard import Board, Entry, build_board, variant_fields
from backbench.leaderboard.asked import Asked
from backbench.leaderboard.publish import HTML, write_board
from backbench.leaderboard.tables import print_board, to_markdown
from backbench.leaderboard.words import number
from backbench.metrics.power import power as estimate_power
from backbench.pipeline.champion import Contest, Registration, add_model, hold_contest, register
from backbench.pipeline.console import console, say
from backbench.pipeline.departures import departures, outdated
from backbench.pipeline.entries import EVALUATE, read_entries
from backbench.pipeline.question import resolve_task
from backbench.pipeline.study import task_hash
from backbench.pipeline.turn import turn
from backbench.runs import Recording, Tracker, recording, share_view, tags
from backbench.runs.pages import ui_root
from backbench.tasks import Protocol, Task

STAGE = "leaderboard"
OUT = "board"
Axis = Literal["backbones", "variants", "heads"]


def leaderboard(
    source: str,
    *,
    variant: str = "",
    head: str = "",
    overrides: Sequence[str] = (),
    protocol: Protocol | None = None,
    compare: Axis = "backbones",
    backbones: Sequence[str] = (),
    registration: Registration | None = None,
    power: bool = False,
    latex: bool = False,
    out: str = OUT,
) -> Board:
    """Build the board of a task from its evaluate runs, print it and record it.

    Args:
        source: the task, a packaged name or a path.
        variant: of the task. What this, `head` and `overrides` name is ranked as asked or not at
            all; in everything else the runs nearest to the task file are taken.
        head: kind of head.
        overrides: `field=value`s.
        protocol: rank the runs of this one.
        compare: what may differ between two rows.
        backbones: rank the runs of these alone, as `backbone` or `backbone=checkpoint`; all
            without any. A part of the rows never moves the champion.
        registration: whether and how the champion may move; by default as the evidence says.
        power: also print what would separate rows that are tied.
        latex: also write `leaderboard.tex`.
        out: folder for `leaderboard.csv`, `.md`, `.png` and `.html`.

    Raises:
        BoardError: nothing has been evaluated, or what was asked for contradicts itself.
        TrackingError: the runs cannot be read.
        StorageError: `out` cannot be written; told at once.
        BackbenchError: the champion or the registry cannot be; by then the board is recorded.
    """
    check_out(out)
    moving = compare == "backbones" and not backbones
    _check_force(registration, moving=moving)
    own = resolve_task(source)
    task = resolve_task(source, variant=variant, head=head, overrides=overrides)
    named = _named(own, variant, head, overrides)
    _check_samples(named, protocol)
    kept = Kept(drawn_folder())
    board = build_board(
        _wanted(_evaluated(task, source), backbones),
        task,
        compare=compare,
        asked=Asked.of(task, named),
        protocol=protocol,
        task_hash=task_hash(own),
        kept=kept,
    )
    stale = outdated(board, own, source, overrides)
    board = replace(board, departs=departures(board, own, source), outdated=stale)
    _show(board, power=power)
    paths = write_board(board, Path(out), latex=latex)
    may_move = moving and board.rows
    with turn(task.name) if may_move else nullcontext():
        contest, trouble = _contested(board, own, registration, kept) if may_move else (None, None)
        run = _record(board, paths, contest, needed=bool(registration and registration.force))
        _tell_where(Path(out), paths, run.run_id)
        _share_view(board, run.run_id)
        if trouble:
            raise trouble
        if contest:
            register(run, board, contest)
    return board


def check_out(folder: str) -> None:
    """Tell before the work that a board could not be written there, or its run be recorded.

    Raises:
        StorageError: the folder, or `BACKBENCH_HOME`, cannot be written.
    """
    atomic.check_folder(home())
    atomic.check_writable(Path(folder) / HTML)


def _check_force(registration: Registration | None, *, moving: bool) -> None:
    if registration and registration.force and not moving:
        raise BoardError(
            "--force moves the champion, which a board of some backbones or another axis "
            "never does; leave out --backbones and --compare."
        )


def _check_samples(named: Sequence[str], protocol: Protocol | None) -> None:
    if protocol is None and "samples" in named:
        raise BoardError(
            "--set samples says nothing to a board: runs do not name the file of theirs. Give "
            "these samples a task of another name."
        )


def _evaluated(task: Task, source: str) -> list[Entry]:
    """Every evaluate run of a task, one at least."""
    entries = read_entries(task)
    if not entries:
        raise BoardError(
            f"no evaluate run of task '{task.name}' was found; make some first, for example: "
            f"backbench run --task {source} --backbones pixels,efficientnet_lite0"
        )
    return entries


def _contested(
    board: Board, own: Task, registration: Registration | None, kept: Kept
) -> tuple[Contest | None, BackbenchError | None]:
    """The contest, or what kept it from being held: that is told once the board is recorded."""
    try:
        return hold_contest(board, own, registration or Registration(), kept), None
    except BackbenchError as error:
        return None, error


def _named(own: Task, variant: str, head: str, overrides: Sequence[str]) -> list[str]:
    """The fields of a task that options name."""
    fields = [override.partition("=")[0].strip() for override in overrides]
    return [*fields, *variant_fields(own, variant), *(["head.kind"] if head else [])]


def _wanted(entries: list[Entry], backbones: Sequence[str]) -> list[Entry]:
    """Those of the backbones asked for, each of which has to be there."""
    there = {(entry.backbone, entry.checkpoint) for entry in entries}
    asked = {parse_backbone(spec) for spec in backbones} or there
    for one in sorted(asked - there):
        names = [spelled(*other) for other in there]
        raise BoardError(unknown("evaluated backbone", spelled(*one), names))
    return [entry for entry in entries if (entry.backbone, entry.checkpoint) in asked]


def _show(board: Board, *, power: bool) -> None:
    console.print()
    print_board(board, console)
    if power:
        tied = list(_what_would_separate(board))
        for line in tied or ["power     no two neighbouring rows are tied"]:
            say(line)


def _what_would_separate(board: Board) -> Iterator[str]:
    """For each two neighbouring rows that are tied, what more data would do."""
    for upper, lower in pairwise(board.rows):
        if board.comparison(upper.name, lower.name).verdict != "not separated":
            continue
        found = estimate_power(
            upper.predictions,
            lower.predictions,
            board.primary,
            rope=board.task.metrics.rope,
            family=board.family,
        )
        yield (
            f"power     {upper.name} and {lower.name} "
            f"(difference {number(found.difference, 4, '+')}): "
            f"{found.advice}; detectable now: {number(found.detectable, 4)}"
        )


def _tell_where(folder: Path, paths: Sequence[Path], run_id: str) -> None:
    page = (folder / HTML).absolute()  # `mlflow run` starts elsewhere than who reads this
    others = ", ".join(path.suffix for path in paths if path.name != HTML)
    say(f"board     {page} (also {others}{f'; and in run {run_id}' if run_id else ''})")


def _record(
    board: Board, paths: Sequence[Path], contest: Contest | None, *, needed: bool
) -> Recording:
    task = board.task
    with recording(
        experiment=task.name,
        name=f"leaderboard {task.name}",
        tags={
            tags.STAGE: STAGE,
            tags.TASK: task.name,
            tags.TASK_VERSION: task.version,
            tags.PROTOCOL: board.protocol.hash if board.protocol else None,
        },
        params={"compare": board.compare, "primary": board.primary},
        note=to_markdown(board),
        adopt=True,
        needed=needed,
    ) as run:
        for path in paths:
            run.attach(path)
        if board.protocol:
            digest = json.loads(board.protocol.fields["samples.fingerprint"])
            run.dataset(task.name, digest, task.samples)
        run.log_metrics({"ranked": len(board.rows), "unranked": len(board.unranked)})
        if contest and not contest.held:
            add_model(run, board, contest)
    return run


def _share_view(board: Board, run_id: str) -> None:
    """MLflow's run table with the headline metrics; a board without it is whole all the same."""
    if not (board.rows and run_id):
        return
    primary, *others = board.metrics
    names = [primary.name, f"{primary.name}_low", f"{primary.name}_high"]
    names += [metric.name for metric in others]
    try:
        page = share_view(
            Tracker().get(run_id), EVALUATE, names, best_is_low=not primary.higher_is_better
        )
    except TrackingError as error:
        say(f"table     not shared: {error}")
        return
    if page:
        say(f"table     {page}{'' if ui_root() else ' (while `mlflow ui` runs)'}")
