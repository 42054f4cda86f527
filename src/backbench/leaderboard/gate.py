"""The champion's gate: who may become champion, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backbench.errors import BoardError, MetricError
from backbench.leaderboard.board import Row
from backbench.leaderboard.entry import Entry
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.words import VERDICTS, guard_label, metric_label
from backbench.metrics import Comparison, Predictions, compare_to


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
    contender: Row,
    champion: Entry | None,
    metric: str,
    *,
    rope: float = 0.0,
    draws: int = 10_000,
    seed: int = 0,
    force: bool = False,
    reason: str = "",
) -> Decision:
    """Whether the contender becomes champion.

    It does when it is complete, no fault was found in it, and it is better than the present
    champion by the paired test on the same groups; or when nobody holds the title.

    Args:
        contender: a row of the board, usually `board.champion_candidate`.
        champion: the entry behind the present champion; None if nobody holds the alias.
        metric: the primary one.
        rope: differences up to this size do not matter.
        draws: of the bootstrap.
        seed: of the bootstrap.
        force: move the alias whatever the evidence says.
        reason: why; needed with `force`.

    Raises:
        BoardError: `force` without a reason.
    """
    if force:
        return _forced(reason)
    obstacle = _obstacle(contender)
    if obstacle:
        return Decision(False, "challenger", obstacle)
    if champion is None:
        return Decision(True, "champion", f"{contender.name} is the first champion.")
    if champion.run_id == contender.entry.run_id:
        return Decision(False, None, f"{contender.name} is the champion already.")
    return _duel(contender, champion, metric, rope=rope, draws=draws, seed=seed)


def _forced(reason: str) -> Decision:
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


def _duel(
    contender: Row, champion: Entry, metric: str, *, rope: float, draws: int, seed: int
) -> Decision:
    holder: Predictions | None = champion.predictions
    if holder is None:
        return Decision(
            False,
            "challenger",
            f"the champion {champion.name} ({champion.run_id[:8]}) has no predictions to compare "
            "with; evaluate it again or use --force with a --reason.",
        )
    try:
        pair = {"contender": contender.predictions, "champion": holder}
        one = compare_to("champion", pair, metric, draws=draws, seed=seed, rope=rope)["contender"]
    except MetricError as error:
        words = f"cannot be compared with the champion {champion.name}: {error}"
        return Decision(False, "challenger", words)
    won = one.verdict == "better"
    return Decision(
        won, "champion" if won else "challenger", _verdict(one, contender, champion), one
    )


def _verdict(one: Comparison, contender: Row, champion: Entry) -> str:
    return (
        f"{contender.name} against the champion {champion.name}: {VERDICTS[one.verdict]}, "
        f"{metric_label(one.metric)} {one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}] on "
        f"the same {one.groups} groups, p = {one.p_adjusted:.3g}."
    )
