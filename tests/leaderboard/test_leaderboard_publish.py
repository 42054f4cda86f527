"""A folder of a board holds that board in each form, and nothing of the one before."""

from backbench.leaderboard import build_board
from backbench.leaderboard.publish import write_board


def test_a_board_without_latex_leaves_none_of_an_earlier_one(entries, task, tmp_path):
    board = build_board(entries[:1], task(), draws=300)
    write_board(board, tmp_path, latex=True)
    written = write_board(board, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(written)
