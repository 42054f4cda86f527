"""The one sentence on top of every rendering, and the facts and notes beside it."""

import numpy as np

from backbench.errors import counted
from backbench.leaderboard.board import Board
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import (
    VERDICTS,
    axis_word,
    guard_label,
    listed,
    metric_label,
    number,
    score,
)
from backbench.metrics import Estimate
from backbench.metrics.table import FOLD_MEAN
from backbench.metrics.unseen import FEWEST

_FEW_GROUPS = 10


def answer(board: Board) -> str:
    """What the board says, in one or two sentences."""
    if not board.rows:
        count = len(board.unranked)
        found = f"; {counted(count, 'run')} found, {_lacking(board)}" if count else " yet"
        return f"Nothing can be ranked{found}."
    return " ".join(filter(None, (_ranking(board), _beware(board.rows[0]), board.outdated)))


def question(board: Board) -> str:
    """What the board was asked."""
    return f"Which {axis_word(board.compare)} is best on {board.task.name}?"


def facts(board: Board) -> str:
    """What the numbers rest on, in one line, and what of it is not as the task file has it."""
    if not board.rows:
        return ""
    one = board.rows[0].estimates[board.primary]
    p = board.rows[0].predictions.scored
    better = "higher" if board.metrics[0].higher_is_better else "lower"
    noun = "sample" if p.timeline is None else "scored step"
    samples = counted(len(p), noun) + (f" in {units(board)}" if grouped(board) else "")
    classes = f"{len(p.classes)} classes"
    trained = f"{counted(one.folds, 'fold')} x {counted(one.seeds, 'seed')}"
    ranked_by = f"ranked by {metric_label(board.primary)}, {better} is better"
    return " · ".join([samples, classes, trained, *board.departs, ranked_by])


def grouped(board: Board) -> bool:
    """Whether some group has more than one sample."""
    p = board.rows[0].predictions
    return len(p.group_names) < len(p)


def units(board: Board) -> str:
    """`44 groups`, or `1,797 samples` where each is a group of its own."""
    count = board.rows[0].estimates[board.primary].groups
    return counted(count, "group" if grouped(board) else "sample")


def notes(board: Board) -> list[str]:
    """How the numbers are to be read."""
    if not board.rows:
        return ["A run is ranked once every fold of every seed is there."]
    rope = board.task.metrics.rope
    family = counted(board.family, "comparison")
    intervals = f"Intervals are 95%, from {board.draws:,} resamples of the {units(board)}"
    if grouped(board):
        intervals += "; samples of one group are not independent, so the group is the evidence"
    intervals += "."
    ranks = (
        "A rank such as 1-3 means that the data cannot say which of these places is right. "
        "Overlapping intervals do not decide it: rows are compared on the same groups."
    )
    verdicts = (
        f"'better' and 'worse' allow for {family} on this board (Holm); 'tied' means that the "
        "difference cannot be told from none, not that it is none. A single difference's interval "
        "does not allow for the others, so it may exclude 0 where the verdict is 'tied'."
    )
    found = [intervals, ranks, verdicts]
    if rope:
        found.append(f"Differences up to {rope:g} are taken not to matter (the task's rope).")
    if np.isfinite(board.chance):
        found.append(f"Guessing scores {number(board.chance)} in {metric_label(board.primary)}.")
    return found + _cautions(board)


def against_best(board: Board, row: Row) -> str:
    """`tied`, `worse by 0.031` or `the best`."""
    if row.to_best is None:
        return "the best" if len(board.rows) > 1 else ""
    word = VERDICTS[row.to_best.verdict]
    if word in ("better", "worse"):
        return f"{word} by {abs(row.to_best.difference):.{board.digits(board.primary)}f}"
    return word


def flags(row: Row) -> list[str]:
    """Names of the guards worth a look, in words; notes are left out."""
    return [guard_label(guard.name) for guard in row.guards if guard.severity != "note"]


def gaps(one: Estimate) -> list[str]:
    """Where a metric has no value: folds, seeds, and resamples where there is an interval."""
    found = [f"undefined in {counted(n, 'fold')}: {why}" for why, n in one.undefined.items()]
    seed = "training" if one.metric.endswith(FOLD_MEAN) else "seed"
    found += [
        f"undefined in {counted(n, seed)}, which its mean leaves out: {why}"
        for why, n in one.undefined_seeds.items()
    ]
    if one.undefined_draws and np.isfinite(one.low):
        left_out = counted(one.undefined_draws, "resample")
        found.append(f"undefined in {left_out}, which its interval leaves out")
    return found


def _lacking(board: Board) -> str:
    whole = any(u.entry.complete and u.entry.predictions is not None for u in board.unranked)
    return "none as asked" if whole else "none complete"


def _ranking(board: Board) -> str:
    best, others = board.rows[0], board.rows[1:]
    one = best.estimates[board.primary]
    label = metric_label(board.primary)
    figure = score(one.value, one.low, one.high, board.digits(board.primary))
    if not others:
        return (
            f"{best.name} is the only row: {label} {figure}; there is nothing to compare it with."
        )
    rivals = [row for row in others if row.first == 1] or [row for row in others if _open(row)]
    if not rivals:
        return f"{best.name} is best: {label} {figure}, better than {_the_rest(others)}."
    if len(rivals) == len(others):
        every = f"the {len(board.rows)} {axis_word(board.compare)}s"
        return f"The data cannot separate {every}: {best.name} leads with {label} {figure}."
    behind = [row.name for row in others if row not in rivals]
    return (
        f"{best.name} leads with {label} {figure}, but the data cannot separate it from "
        f"{listed([row.name for row in rivals])}; {listed(behind)} "
        f"{'is' if len(behind) == 1 else 'are'} behind."
    )


def _open(row: Row) -> bool:
    return row.to_best is not None and row.to_best.verdict != "worse"


def _the_rest(others: "tuple[Row, ...]") -> str:
    many = "both others" if len(others) == 2 else f"all {len(others)} others"
    return others[0].name if len(others) == 1 else many


def _beware(best: Row) -> str:
    faults = [guard_label(name) for name in best.faults]
    return f"But {best.name} is flagged: {listed(faults)}." if faults else ""


def _few(one: Estimate) -> str:
    if one.groups < _FEW_GROUPS:
        return f"Only {counted(one.groups, 'group')}"
    return (
        f"{metric_label(one.metric)} rests on no more than {one.effective:.1f} groups of equal "
        f"weight, since few of the {one.groups} hold most of a class or of the samples"
    )


def _cautions(board: Board) -> list[str]:
    one = board.rows[0].estimates[board.primary]
    found = []
    if one.effective < _FEW_GROUPS:
        found.append(f"{_few(one)}: the intervals themselves are rough.")
    if round(one.effective) < FEWEST:
        found.append(f"Fewer than {FEWEST} groups never separate rows, whatever they show.")
    if one.seeds == 1:
        found.append("One seed: how much training scatters is not known.")
    for metric in board.metrics:
        lacking = gaps(board.rows[0].estimates[metric.name])
        found += [f"{metric_label(metric.name)} is {gap}." for gap in lacking]
    return found
