"""The board as a picture: one interval a row; rows that may be first are blue."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from backbench.files.atomic import replacing
from backbench.leaderboard.answer import answer, facts, flags
from backbench.leaderboard.board import Board
from backbench.leaderboard.lettering import any_script, plain
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import metric_label, score
from backbench.metrics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOP, _TINT, _REST, _BAD = "#0a5ea8", "#eef5fb", "#6b7681", "#a63f08"
_LINE, _INK = "#dbe0e5", "#1a1f25"
_MOST, _NAME, _WIDTH, _FACTS = 40, 34, 96, 120


@any_script()
def write_png(board: Board, path: Path) -> Path:
    """Draw up to 40 rows from the best down, each with rank, interval and figures.

    The two colours differ in lightness as well, and ranks are spelled out, so nothing depends on
    telling colours apart.

    Raises:
        StorageError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = board.rows[:_MOST]
    title = fill(answer(board), _WIDTH)
    rests_on = fill(facts(board), _FACTS)
    lines = title.count("\n") + 1
    height = 1.2 + 0.27 * lines + 0.18 * rests_on.count("\n") + 0.38 * max(len(rows), 1)
    figure = Figure(figsize=(10, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.27, 0.62 / height, 0.47, 0.38 * max(len(rows), 1) / height))
    top = 1 - 0.14 / height
    figure.text(0.02, top, plain(title), va="top", size=12, weight="bold", color=_INK)
    below = top - (0.27 * lines - 0.02) / height
    figure.text(0.02, below, plain(rests_on), va="top", size=9.5, color=_REST)
    if rows:
        _draw(axes, board, rows)
    else:
        axes.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png", metadata={"Software": None})
    return path


def _draw(axes: "Axes", board: Board, rows: tuple[Row, ...]) -> None:
    _draw_intervals(axes, [row.estimates[board.primary] for row in rows], [*map(_colour, rows)])
    for place, row in enumerate(rows):
        _write_row(axes, board, row, place)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(length=0, labelcolor=_REST, labelsize=9)
    axes.grid(axis="x", color=_LINE, lw=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    _mark_chance(axes, board)
    more = (
        f"  ({len(board.rows) - len(rows)} more rows not drawn)" if len(board.rows) > _MOST else ""
    )
    label = f"{metric_label(board.primary)}, 95% interval{more}"
    axes.set_xlabel(plain(label), size=9.5, color=_REST)


def _colour(row: Row) -> str:
    return _TOP if row.first == 1 else _REST


def _draw_intervals(axes: "Axes", ones: Sequence[Estimate], colours: Sequence[str]) -> None:
    places = range(len(ones))
    low, high, value = np.array([(one.low, one.high, one.value) for one in ones]).T
    axes.hlines(places, low, high, colors=colours, lw=3, capstyle="round")
    axes.scatter(value, places, s=49, c=colours, edgecolors="white", linewidths=1.2, zorder=3)


def _write_row(axes: "Axes", board: Board, row: Row, place: int) -> None:
    one, first = row.estimates[board.primary], row.first == 1
    weight = "bold" if first else "normal"
    if first:
        reach = {"xmin": -0.545, "xmax": 1.5, "clip_on": False}
        axes.axhspan(place - 0.5, place + 0.5, color=_TINT, lw=0, zorder=0, **reach)
    name = row.name if len(row.name) <= _NAME else f"{row.name[: _NAME - 1]}…"
    side = axes.get_yaxis_transform()
    said = score(one.value, one.low, one.high, board.digits(board.primary))
    for x, text, align, bold in (
        (-0.532, row.rank, "left", weight),
        (-0.42, name, "left", weight),
        (1.04, said, "left", "normal"),
    ):
        axes.text(
            x, place, plain(text), transform=side, va="center", ha=align,
            size=10, weight=bold, color=_INK if first else "#414a53", clip_on=False,
        )  # fmt: skip
    if flags(row):
        axes.text(
            1.43, place, "flag", transform=side, va="center", size=9, color=_BAD, weight="bold"
        )


def _mark_chance(axes: "Axes", board: Board) -> None:
    low, high = axes.get_xlim()
    if low <= board.chance <= high:
        axes.axvline(board.chance, color=_BAD, lw=1, ls=(0, (3, 3)), zorder=1)
        axes.text(board.chance, -0.5, " guessing", color=_BAD, size=8, va="bottom", ha="left")
