"""The board as CSV, Markdown and a table in the terminal."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from backbench.leaderboard.answer import against_best, answer, facts, flags, notes
from backbench.leaderboard.board import Board
from backbench.leaderboard.comparable import Unranked
from backbench.leaderboard.entry import COSTS, Entry
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import (
    VERDICTS,
    axis_word,
    guard_label,
    metric_label,
    number,
    score,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BAR = 14

# --- CSV -----------------------------------------------------------------------------------------


def to_csv(board: Board) -> str:
    """One line a run, ranked ones first; an unranked one has no rank and a reason."""
    rows = [_ranked_cells(row) for row in board.rows]
    rows += [_unranked_cells(one) for one in board.unranked]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns) or ["rank"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _ranked_cells(row: Row) -> dict[str, str]:
    cells = {"rank": row.rank, "rank_first": str(row.first), "rank_last": str(row.last)}
    cells |= {"name": row.name} | _identity(row.entry)
    for name, one in row.estimates.items():
        cells |= {
            name: _exact(one.value),
            f"{name}_low": _exact(one.low),
            f"{name}_high": _exact(one.high),
            f"{name}_seed_std": _exact(one.seed_std),
        }
    best = row.to_best
    cells |= {
        "verdict_to_best": VERDICTS[best.verdict] if best else "best",
        "difference_to_best": _exact(best.difference) if best else "",
        "difference_low": _exact(best.low) if best else "",
        "difference_high": _exact(best.high) if best else "",
        "p_adjusted": _exact(best.p_adjusted) if best else "",
        "flags": _flags(row.guards),
    }
    return cells | {k: _exact(row.entry.cost.get(k, math.nan)) for k in COSTS} | _trace(row.entry)


def _unranked_cells(one: Unranked) -> dict[str, str]:
    named = {"name": one.entry.name} | _identity(one.entry)
    flagged = {"flags": _flags(one.entry.guards)}
    return named | flagged | {"reason": one.reason} | _trace(one.entry)


def _flags(guards: Iterable[Guard]) -> str:
    return "; ".join(guard.name for guard in guards if guard.severity != "note")


def _identity(entry: Entry) -> dict[str, str]:
    return {
        "backbone": entry.backbone,
        "checkpoint": entry.checkpoint,
        "head": entry.head,
        "variant": entry.variant,
        "seeds": " ".join(map(str, entry.seeds)),
    }


def _trace(entry: Entry) -> dict[str, str]:
    kept = ("features", "weights", "licence")
    made = {key: str(entry.lineage.get(key, "")) for key in kept}
    return {"protocol": entry.protocol.hash, **made, "run_id": entry.run_id}


def _exact(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


# --- Markdown ------------------------------------------------------------------------------------


def to_markdown(board: Board) -> str:
    """The answer, the table, the flags, what is not ranked and why, and how to read it."""
    parts = [f"# {escaped(board.task.name)}", f"**{escaped(answer(board))}**"]
    if board.rows:
        parts += [escaped(facts(board)), _markdown_rows(board)]
    flagged = [
        f"- **{escaped(row.name)}**, {guard_label(guard.name)}: {escaped(guard.message)}"
        for row in board.rows
        for guard in row.guards
    ]
    if flagged:
        parts += ["## Flags", "\n".join(flagged)]
    if board.unranked:
        parts += ["## Not ranked", _markdown_table(("Run", "Why"), _reasons(board))]
    parts += ["## How to read this", "\n".join(f"- {escaped(note)}" for note in notes(board))]
    return "\n\n".join(parts) + "\n"


def _markdown_rows(board: Board) -> str:
    others = [metric.name for metric in board.metrics[1:]]
    heads = ["Rank", axis_word(board.compare).capitalize(), f"{metric_label(board.primary)} [95%]"]
    heads += ["Against the best", *map(metric_label, others), "Flags"]
    rows = []
    for row in board.rows:
        cells = [row.rank, row.name, _score(board, row, board.primary), against_best(board, row)]
        cells += [number(row.estimates[m].value, board.digits(m)) for m in others]
        rows.append([*cells, ", ".join(flags(row))])
    return _markdown_table(heads, rows)


def _reasons(board: Board) -> list[tuple[str, str]]:
    return [(f"{one.entry.name} ({one.entry.run_id[:8]})", one.reason) for one in board.unranked]


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(escaped(c) if i != 1 else c for c in line)} |"
        for i, line in enumerate(lines)
    )


def escaped(text: str) -> str:
    """Nothing of a name may be taken for Markdown or HTML; what cannot be stays readable."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*|~#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|](?=\())", r"\\\1", plain)
    return " ".join(plain.split())


# --- terminal ------------------------------------------------------------------------------------


def print_board(board: Board, console: "Console") -> None:
    """The answer and the table, at most as wide as the console; fits 80 columns."""
    from rich.text import Text

    console.print(Text(answer(board), style="bold"))
    if board.rows:
        console.print(Text(facts(board), style="dim"))
        console.print(_terminal_table(board))
    for row in board.rows:
        for guard in row.guards:
            style = "bold red" if guard.severity == "fault" else "yellow"
            words = f"{row.name}: {guard_label(guard.name)}: {guard.message}"
            console.print(Text(words, style="dim" if guard.severity == "note" else style))
    for name, reason in _reasons(board):
        console.print(Text(f"not ranked: {name}: {reason}", style="dim"))


def _terminal_table(board: Board) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column(axis_word(board.compare), overflow="fold", min_width=8)
    table.add_column(metric_label(board.primary), no_wrap=True)
    table.add_column("95% interval", no_wrap=True, min_width=_BAR)
    table.add_column("against best", overflow="fold")
    for row, bar in zip(board.rows, _bars(board), strict=True):
        style = "bold" if row.first == 1 else ""
        marked = f"{row.name} (!)" if flags(row) else row.name
        cells = [row.rank, marked, _score(board, row, board.primary), bar, against_best(board, row)]
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _bars(board: Board) -> list[str]:
    """Each interval drawn with characters, all to one scale."""
    ones = [row.estimates[board.primary] for row in board.rows]
    ends = [v for one in ones for v in (one.low, one.high, one.value) if math.isfinite(v)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)

    def at(value: float) -> int:
        return round((value - low) / (high - low or 1) * (_BAR - 1))

    bars = []
    for one in ones:
        cells = [" "] * _BAR
        if math.isfinite(one.low):
            span = range(at(one.low), at(one.high) + 1)
            for place in span:
                cells[place] = "─"
        if math.isfinite(one.value):
            cells[at(one.value)] = "●"
        bars.append("".join(cells))
    return bars


def _score(board: Board, row: Row, metric: str) -> str:
    one = row.estimates[metric]
    return score(one.value, one.low, one.high, board.digits(metric))
