"""All renderings of a board in one folder, under the names that runs keep them by."""

from collections.abc import Callable, Mapping
from pathlib import Path

from backbench.files.atomic import write_text
from backbench.leaderboard.board import Board
from backbench.leaderboard.latex import to_latex
from backbench.leaderboard.page import to_html
from backbench.leaderboard.picture import write_png
from backbench.leaderboard.tables import to_csv, to_markdown

CSV, MARKDOWN, PNG, HTML, LATEX = (
    f"leaderboard.{suffix}" for suffix in ("csv", "md", "png", "html", "tex")
)
_TEXTS: Mapping[str, Callable[[Board], str]] = {
    CSV: to_csv,
    MARKDOWN: to_markdown,
    HTML: to_html,
    LATEX: to_latex,
}


def write_board(board: Board, folder: Path, *, latex: bool = False) -> list[Path]:
    """Write `leaderboard.csv`, `.md`, `.png` and `.html` (and `.tex`) into `folder`.

    A `.tex` of an earlier board, which this one does not write, is removed.

    Raises:
        StorageError: the folder cannot be written.
    """
    wanted = [name for name in _TEXTS if latex or name != LATEX]
    written = [write_text(folder / name, _TEXTS[name](board)) for name in wanted]
    written.append(write_png(board, folder / PNG))
    if not latex:
        (folder / LATEX).unlink(missing_ok=True)
    return written
