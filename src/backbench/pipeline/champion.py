"""The champion: the model of the best row, registered with its evidence, moved only by evidence."""

from collections.abc import Mapping
from dataclasses import dataclass

from backbench.errors import BoardError, TrackingError
from backbench.files.kept import Kept
from backbench.files.switches import is_offline
from backbench.heads import HEADS
from backbench.leaderboard import Board, Entry, Row
from backbench.leaderboard.gate import Decision, decide, forced
from backbench.leaderboard.words import listed, score
from backbench.pipeline.console import say
from backbench.pipeline.entries import read_entry
from backbench.pipeline.heads_of import Heads, heads_of
from backbench.runs import Recording, Tracker, tags
from backbench.runs.registry import CHAMPION, MODEL, Registry, Version, write_model
from backbench.runs.serving import Champion
from backbench.tasks import Task

EVALUATED = "backbench.evaluate_run"
_NEEDED = ("train_runs", "identity_key", "weights", "transform", "precision", "min_side")
"""What the model is made of."""


@dataclass(frozen=True)
class Registration:
    """Whether and how the champion may move.

    Attributes:
        wanted: register at all.
        force: move the alias whatever the evidence says.
        reason: why; needed with `force`.

    Raises:
        BoardError: force without a reason or without registration, or a reason without force.
    """

    wanted: bool = True
    force: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.force:
            forced(self.reason)
        if self.force and not self.wanted:
            raise BoardError("--force moves the champion, so it cannot go with --register false.")
        if self.reason and not self.force:
            raise BoardError("--reason says why --force was used; give both or neither.")


@dataclass(frozen=True)
class Contest:
    """The best row, whoever holds the title, and what was decided.

    Attributes:
        contender: the best row.
        decision: what happens to the contender.
        held: the version that has the alias and is of the same run; then nothing is registered.
        heads: the contender's, where it is to be registered.
    """

    contender: Row
    decision: Decision
    held: Version | None
    heads: Heads


def hold_contest(board: Board, own: Task, registration: Registration, kept: Kept) -> Contest | None:
    """Decide who is champion; None where nothing was asked for or no row may become it.

    Args:
        board: the rows.
        own: the task as its file has it, by whose metric the title moves.
        registration: what was asked for.
        kept: what earlier boards computed.

    Raises:
        BoardError: the champion's own run is gone.
        TrackingError: the registry, or the contender's heads, cannot be read.
    """
    contender = board.rows[0] if registration.force and board.rows else board.champion_candidate
    if not registration.wanted:
        return None
    if contender is None:
        say(f"champion  nobody is registered: {_nobody(board)}")
        return None
    if obstacle := _obstacle(board, contender) or _other_rule(board.task, own, registration):
        say(f"champion  {contender.name} is not registered: {obstacle}")
        return None
    holder = Registry().current(board.task.name)
    decision = decide(
        board,
        contender,
        _entry_of(board.task, holder) if holder and not registration.force else None,
        kept=kept,
        force=registration.force,
        reason=registration.reason,
    )
    held = None if registration.force else _held(board, contender, decision.alias or CHAMPION)
    return Contest(contender, decision, held, {} if held else _heads(contender))


def _nobody(board: Board) -> str:
    best = next((row for row in board.rows if not row.flagged), None)
    if best is None:
        return "no row is without a fault"
    doubted = next(row for row in board.rows if row.faults == ["chance_level"])
    return f"{doubted.name}, above {best.name}, cannot be told from guessing by its groups"


def _held(board: Board, contender: Row, alias: str) -> Version | None:
    version = Registry().current(board.task.name, alias)
    same = version is not None and version.evidence.get(EVALUATED) == contender.entry.run_id
    return version if same else None


def _obstacle(board: Board, contender: Row) -> str:
    """Why no row of this board is registered, whatever it scores; or nothing."""
    if board.task.permute_labels:
        return "its labels are permuted"
    if HEADS[contender.entry.head].takes == "series":
        return f"a model answers for single pictures, the {contender.entry.head} head for series"
    lineage = contender.entry.lineage
    if lacking := [name for name in _NEEDED if name not in lineage]:
        return (
            f"its summary, of an older version, does not say its {listed(lacking)}; delete run "
            f"{contender.entry.run_id} and evaluate again"
        )
    if not lineage["transform"]:
        return "its features were imported, so it could answer for no picture"
    if is_offline():
        return (
            "the registry is not asked while BACKBENCH_OFFLINE=1; send the runs with `backbench "
            "sync`, then run the leaderboard again"
        )
    return ""


def _other_rule(asked: Task, own: Task, registration: Registration) -> str:
    """The title would go to and fro between the best by one metric and by another."""
    fields = ("primary", "rope")
    other = [name for name in fields if getattr(asked.metrics, name) != getattr(own.metrics, name)]
    if registration.force or not other:
        return ""
    rules = " and ".join(f"metrics.{name}" for name in other)
    return f"the task file has another {rules} than this board; --force with a --reason does it"


def _heads(contender: Row) -> Heads:
    tracker = Tracker()
    return heads_of(tracker.get(run) for run in contender.entry.lineage["train_runs"])


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
    write_model(run.artifact(MODEL), champion, contest.heads)


def register(run: Recording, board: Board, contest: Contest) -> None:
    """Register the model that the run holds, and give it its alias."""
    decision, name = contest.decision, contest.contender.name
    alias = decision.alias or CHAMPION
    if contest.held:
        why = f". {decision.reason}" if decision.alias else ""
        say(f"{alias:9} {name} is it already (version {contest.held.version}){why}")
        return
    if not run.is_on_server:
        where = "waits in the spool; sync, then run this again" if run.run_id else "is not recorded"
        say(f"champion  not registered: the run {where}")
        return
    version = Registry().register(
        board.task.name,
        run.run_id,
        evidence=_evidence(contest),
        aliases=[alias],
        description=decision.reason,
    )
    say(
        f"{alias:9} {name} is models:/{version.name}@{alias}, version {version.version}. "
        f"{decision.reason}"
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
        tags.REASON: decision.reason,
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
        found[f"metric.{name}"] = score(one.value, one.low, one.high, 6)
    if decision.comparison:
        c = decision.comparison
        difference = score(c.difference, c.low, c.high, 6, "+")
        found["backbench.comparison"] = f"{c.metric} {difference}, p = {c.p_value:.4g}"
    return found
