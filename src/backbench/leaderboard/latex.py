"""The board as a table of a paper: booktabs, intervals, and a mark on rows tied with the best."""

import math

from backbench.leaderboard.answer import answer, facts
from backbench.leaderboard.board import Board
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import axis_word, interval, metric_label, number

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "·": r"\textperiodcentered{}",
}
_TIE = r"$^{\dagger}$"


def to_latex(board: Board) -> str:
    r"""A `table` environment that needs `\usepackage{booktabs}` and `[T1]{fontenc}`.

    The best row is bold; a dagger marks the rows that the data cannot separate from it.
    """
    heads = ["Rank", axis_word(board.compare).capitalize()]
    heads += [metric_label(metric.name) for metric in board.metrics]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(board)}}}",
        rf"\label{{tab:{_label(board)}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(board.metrics)}}}",
        r"\toprule",
        " & ".join(map(escaped, heads)) + r" \\",
        r"\midrule",
        *(_line(board, row) for row in board.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """`text` as LaTeX prints it literally."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _line(board: Board, row: Row) -> str:
    tied = row.to_best is not None and row.to_best.verdict != "worse"
    name = escaped(row.name)
    name = rf"\textbf{{{name}}}" if row.to_best is None else name
    cells = [row.rank.replace("-", "--"), name + (_TIE if tied else "")]
    return " & ".join([*cells, *(_cell(board, row, m.name) for m in board.metrics)]) + r" \\"


def _cell(board: Board, row: Row, metric: str) -> str:
    """The primary metric with its interval, the others as plain numbers."""
    one, digits = row.estimates[metric], board.digits(metric)
    value = number(one.value, digits) if math.isfinite(one.value) else "--"
    if metric != board.primary:
        return value
    value = rf"\textbf{{{value}}}" if row.to_best is None else value
    # Braces: a bracket at the start of a cell would be taken for the argument of the line break.
    return f"{value} {{{interval(one.low, one.high, digits)}}}"


def _caption(board: Board) -> str:
    tie = rf" {_TIE}~not separated from the best by the paired comparison (Holm)."
    words = f"{answer(board)} {facts(board)}. Brackets: 95% intervals over groups."
    return escaped(words) + tie


def _label(board: Board) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in board.task.name)
