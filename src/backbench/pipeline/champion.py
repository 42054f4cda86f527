"""The champion: the model of the best row, registered with its evidence, moved only by evidence."""

from collections.abc import Mapping
from dataclasses import dataclass

from backbench.errors import BoardError, TrackingError
from backbench.heads import HEADS
from backbench.leaderboard import Board, Entry, Row
from backbench.leaderboard.gate import Decision, decide
from backbench.pipeline.console import say
from backbench.pipeline.entries import read_entry
from backbench.pipeline.heads_of import heads_of
from backbench.runs import Recording, Tracker, tags
from backbench.runs.registry import CHAMPION, MODEL, Registry, Version, write_model
from backbench.runs.serving import Champion
from backbench.tasks import Task

EVALUATED = "backbench.evaluate_run"
REASON = "backbench.reason"


@dataclass(frozen=True)
class Registration:
    """Whether and how the champion may move.

    Attributes:
        wanted: register at all.
        force: move the alias whatever the evidence says.
        reason: why; needed with `force`.
    """

    wanted: bool = True
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Contest:
    """The best row, whoever holds the title, and what was decided."""

    contender: Row
    holder: Version | None
    decision: Decision


def hold_contest(board: Board, registration: Registration) -> Contest | None:
    """Decide who is champion; None where nothing was asked for or no row may become it.

    A head of series is not served, since a registered model answers for single pictures.

    Raises:
        BoardError: force without a reason, or the champion's own run is gone.
    """
    contender = board.rows[0] if registration.force and board.rows else board.champion_candidate
    if not registration.wanted or contender is None:
        return None
    if HEADS[contender.entry.head].takes == "series":
        say(
            f"champion  {contender.name} is not registered: a model answers for single pictures, "
            f"the {contender.entry.head} head for series"
        )
        return None
    holder = Registry().current(board.task.name)
    decision = decide(
        contender,
        _entry_of(board.task, holder) if holder else None,
        board.primary,
        rope=board.task.metrics.rope,
        draws=board.draws,
        force=registration.force,
        reason=registration.reason,
    )
    return Contest(contender, holder, decision)


def add_model(run: Recording, board: Board, contest: Contest) -> None:
    """Write the contender's model among the run's artifacts."""
    entry = contest.contender.entry
    lineage = entry.lineage
    champion = Champion(
        task=board.task.name,
        task_version=board.task.version,
        variant=entry.variant,
        classes=contest.contender.predictions.classes,
        backbone=entry.backbone,
        checkpoint=entry.checkpoint,
        identity_key=lineage["identity_key"],
        weights=lineage["weights"],
        head=entry.head,
        precision=lineage["precision"],
        min_side=lineage["min_side"],
    )
    tracker = Tracker()
    heads = heads_of(tracker.get(train_run) for train_run in lineage["train_runs"])
    write_model(run.artifact(MODEL), champion, heads)


def register(run: Recording, board: Board, contest: Contest) -> None:
    """Register the model that the run holds, and give it its alias."""
    decision, name = contest.decision, contest.contender.name
    if decision.alias is None:
        holder = contest.holder
        say(f"champion  {name} is it already (version {holder.version if holder else ''})")
        return
    if not run.is_on_server:
        say("champion  not registered: the run waits in the spool; sync, then run this again")
        return
    version = Registry().register(
        board.task.name,
        run.run_id,
        evidence=_evidence(contest),
        aliases=[decision.alias],
        description=decision.reason,
    )
    say(
        f"{decision.alias:9} {name} is models:/{version.name}@{decision.alias}, version "
        f"{version.version}. {decision.reason}"
    )


def _entry_of(task: Task, holder: Version) -> Entry:
    tracker = Tracker()
    try:
        return read_entry(task, tracker.get(holder.evidence[EVALUATED]), tracker)
    except (KeyError, TrackingError) as error:
        raise BoardError(
            f"the champion models:/{holder.name}@{CHAMPION} cannot be compared with: its evaluate "
            f"run cannot be read ({error}). Move the title with --force --reason '...'."
        ) from error


def _evidence(contest: Contest) -> Mapping[str, object]:
    """What the version carries: numbers with intervals, comparison, and where they come from."""
    row, decision = contest.contender, contest.decision
    lineage = row.entry.lineage
    found: dict[str, object] = {
        EVALUATED: row.entry.run_id,
        REASON: decision.reason,
        tags.BACKBONE: row.entry.backbone,
        tags.CHECKPOINT: row.entry.checkpoint,
        tags.HEAD: row.entry.head,
        tags.PROTOCOL: row.entry.protocol.hash,
        tags.FEATURES: lineage["features"],
        tags.WEIGHTS: lineage["weights"],
        "backbench.licence": lineage["licence"],
        "backbench.train_runs": ",".join(lineage["train_runs"]),
        "backbench.rank": row.rank,
        "backbench.forced": decision.forced,
    }
    for name, one in row.estimates.items():
        found[f"metric.{name}"] = f"{one.value:.6f} [{one.low:.6f}, {one.high:.6f}]"
    if decision.comparison:
        c = decision.comparison
        found["backbench.comparison"] = (
            f"{c.metric} {c.difference:+.6f} [{c.low:+.6f}, {c.high:+.6f}], p = {c.p_value:.4g}"
        )
    return found
