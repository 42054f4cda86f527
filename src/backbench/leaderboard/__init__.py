"""What the runs say together: comparable rows ranked, guarded, drawn, and the champion's gate.

::

    Entry (one evaluate run) --> select --> build_board --> Board --> write_board
                                                              `--> decide (champion or challenger)
"""

from backbench.leaderboard.board import Board, build_board
from backbench.leaderboard.comparable import Unranked, select
from backbench.leaderboard.entry import Entry, variant_fields
from backbench.leaderboard.gate import Decision, decide
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.row import Row

__all__ = [
    "Board",
    "Decision",
    "Entry",
    "Guard",
    "Row",
    "Unranked",
    "build_board",
    "decide",
    "select",
    "variant_fields",
]
