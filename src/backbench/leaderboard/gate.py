"""The champion's gate: who may become champion, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backbench.errors import BoardError, MetricError, counted
from backbench.files.kept import Kept
from backbench.leaderboard.board import Board
from backbench.leaderboard.entry import Entry
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import VERDICTS, guard_label, metric_label, score
from backbench.metrics import Comparison, Predictions, compare_pairs
from backbench.metrics.comparison import all_pairs


@dataclass(frozen=True)
class Decision:
    """What happens to the contender.

    Attributes:
        move: the alias `champion` moves to it.
        alias: the one it gets; None when it holds the championship already.
        reason: one sentence, kept with the model version.
        comparison: contender against champion, where both were there to compare.
        forced: moved against the evidence.
    """

    move: bool
    alias: Literal["champion", "challenger"] | None
    reason: str
    comparison: Comparison | None = None
    forced: bool = False


def decide(
    board: Board,
    contender: Row,
    champion: Entry | None,
    *,
    kept: Kept | None = None,
    force: bool = False,
    reason: str = "",
) -> Decision:
    """Whether the contender becomes champion.

    It does when it is complete, no fault was found in it, and it is better than the present
    champion by the paired test on the same groups; or when nobody holds the title.

    The contender was chosen as the best of the board, so the test allows for all comparisons of
    the board (Holm). A champion that is a row of it is tested by the very comparison that the
    board shows; any other is compared as one row more.

    Args:
        board: where the contender stands.
        contender: a row of it, usually `board.champion_candidate`.
        champion: the entry behind the present champion; None if nobody holds the alias.
        kept: what boards computed, see `compare_pairs`.
        force: move the alias whatever the evidence says.
        reason: why; needed with `force`.

    Raises:
        BoardError: `force` without a reason.
    """
    if force:
        return forced(reason)
    obstacle = _obstacle(contender)
    if obstacle:
        return Decision(False, "challenger", obstacle)
    if champion is None:
        return Decision(True, "champion", f"{contender.name} is the first champion.")
    if champion.run_id == contender.entry.run_id:
        return Decision(False, None, f"{contender.name} is the champion already.")
    return _duel(board, contender, champion, kept)


def forced(reason: str) -> Decision:
    """The contender moves whatever the evidence says.

    Raises:
        BoardError: nobody says why.
    """
    if not reason.strip():
        raise BoardError("--force moves the champion against the evidence; say why with --reason.")
    return Decision(True, "champion", f"forced: {reason.strip()}", forced=True)


def _obstacle(contender: Row) -> str:
    if not contender.entry.complete:
        units = "; ".join(contender.entry.missing) or "it does not say what"
        return f"{contender.name} is incomplete; missing: {units}."
    faults = [guard for guard in contender.guards if guard.severity == "fault"]
    return f"{contender.name} is flagged: {_spelled(faults)}" if faults else ""


def _spelled(faults: Sequence[Guard]) -> str:
    return " ".join(f"{guard_label(guard.name)}: {guard.message}" for guard in faults)


def _duel(board: Board, contender: Row, champion: Entry, kept: Kept | None) -> Decision:
    if obstacle := _apart(contender.entry, champion):
        return Decision(False, "challenger", obstacle)
    assert champion.predictions is not None
    try:
        one = _compared(board, contender, champion.run_id, champion.predictions, kept)
    except MetricError as error:
        words = f"cannot be compared with the champion {champion.name}: {error}"
        return Decision(False, "challenger", words)
    won = one.verdict == "better"
    return Decision(
        won, "champion" if won else "challenger", _verdict(one, contender, champion), one
    )


def _apart(contender: Entry, champion: Entry) -> str:
    """Why the two cannot be compared; or nothing."""
    name, data = f"the champion {champion.name} ({champion.run_id[:8]})", "samples.fingerprint"
    if champion.predictions is None:
        why, cure = "has no predictions to compare with", "evaluate it again"
    elif contender.protocol.fields.get(data) != champion.protocol.fields.get(data):
        why, cure = "was made on other samples, labels or groups", "evaluate its backbone on these"
    else:
        return ""
    return f"{name} {why}; {cure} or use --force with a --reason."


def _compared(
    board: Board, contender: Row, run_id: str, holder: Predictions, kept: Kept | None
) -> Comparison:
    known = next((row.name for row in board.rows if row.entry.run_id == run_id), None)
    if known:
        return board.comparison(contender.name, known)
    champion = f"champion {run_id}"
    rows = {row.name: row.predictions for row in board.rows} | {champion: holder}
    made = compare_pairs(
        rows,
        all_pairs(rows),
        board.primary,
        draws=board.draws,
        seed=board.seed,
        rope=board.task.metrics.rope,
        kept=kept,
    )
    return made[contender.name, champion]


def _verdict(one: Comparison, contender: Row, champion: Entry) -> str:
    return (
        f"{contender.name} against the champion {champion.name}: {VERDICTS[one.verdict]}, "
        f"{metric_label(one.metric)} {score(one.difference, one.low, one.high, sign='+')} on "
        f"the same {one.groups} groups, p = {one.p_adjusted:.3g} among "
        f"{counted(one.family, 'comparison')}."
    )
