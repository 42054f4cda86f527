"""The champion moves only by evidence."""

from dataclasses import replace

import numpy as np
import pytest

from backbench.errors import BoardError
from backbench.leaderboard import Guard, build_board, decide
from backbench.metrics import compare
from backbench.tasks import MetricSettings


def board_of(entry, task, *, rope=0.0, **changes):
    asked = task(metrics=MetricSettings(rope=rope))
    return build_board([entry("new", **changes)], asked, draws=500)


def judged(board, champion, **options):
    """The best row of a board against the champion."""
    return decide(board, board.rows[0], champion, **options)


def test_the_first_champion_needs_no_rival(entry, task):
    decision = judged(board_of(entry, task), None)
    assert (decision.move, decision.alias) == (True, "champion")
    assert decision.reason == "new is the first champion."


def test_a_better_contender_takes_the_title(entry, task):
    decision = judged(board_of(entry, task, skill=3.0), entry("old", 1.0))
    assert (decision.move, decision.alias) == (True, "champion")
    assert decision.reason.startswith("new against the champion old: better, balanced accuracy +0.")
    assert "on the same 44 groups" in decision.reason
    assert decision.comparison.verdict == "better"


@pytest.mark.parametrize(("skill", "verdict"), [(2.0, "tied"), (1.0, "worse")])
def test_a_tied_or_worse_contender_becomes_challenger(entry, task, skill, verdict):
    decision = judged(board_of(entry, task, skill=skill), entry("old", 2.0))
    assert (decision.move, decision.alias) == (False, "challenger")
    assert f": {verdict}, " in decision.reason


def test_the_same_loss_less_in_all_groups_wins_and_is_told_without_an_interval(
    entry, task, predictions
):
    one = predictions()
    right = np.eye(4)[one.y_true][None].repeat(3, axis=0)
    new, old = (replace(one, probabilities=right * w + (1 - w) / 4) for w in (0.9, 0.3))
    asked = task(metrics=MetricSettings("log_loss"))
    board = build_board([entry("new", predictions=new)], asked, draws=500)
    decision = judged(board, entry("old", predictions=old))
    assert decision.move
    assert ": better, log loss -0.666 on the same 44 groups" in decision.reason
    assert "[" not in decision.reason


def test_a_higher_value_alone_does_not_move_the_title(entry, task):
    """The contender's value is above the champion's, but within the noise."""
    decision = judged(board_of(entry, task, skill=2.1), entry("old", 2.0))
    assert decision.comparison.difference > 0
    assert not decision.move


def test_the_best_of_many_equal_rows_does_not_take_the_title_by_luck(entry, task):
    """It was chosen among ten: the same lead, alone, would have been called better."""
    champion = entry("old", 2.0, noise=190)
    rivals = [entry(f"row{i}", 2.0, noise=190 + i) for i in range(1, 10)]
    board = build_board([champion, *rivals], task(metrics=MetricSettings(rope=0)), draws=500)
    best = board.rows[0]
    alone = compare(best.predictions, champion.predictions, board.primary, draws=500)
    assert alone.verdict == "better"
    assert board.comparison(best.name, "old").verdict == "not separated"
    decision = judged(board, champion)
    assert not decision.move
    assert decision.comparison.family == board.family == 45
    assert "old: tied" in decision.reason
    assert "among 45 comparisons" in decision.reason


def test_a_champion_that_is_no_row_is_compared_as_one_row_more(entry, task):
    """It changes nothing whether its run is listed, or of another head and only looked up."""
    champion = entry("old", 2.0, noise=190)
    rivals = [entry(f"row{i}", 2.0, noise=190 + i) for i in range(1, 10)]
    asked = task(metrics=MetricSettings(rope=0))
    inside = judged(build_board([champion, *rivals], asked, draws=500), champion)
    elsewhere = replace(champion, head="knn")
    outside = judged(build_board(rivals, asked, draws=500), elsewhere)
    assert not outside.move
    assert outside.comparison.p_adjusted == pytest.approx(inside.comparison.p_adjusted)


def test_a_flagged_contender_is_refused_even_without_a_champion(entry, task):
    fault = Guard("constant_predictor", "predicts 'a' for 100% of the samples.", 1, "fault")
    decision = judged(board_of(entry, task, guards=(fault,)), None)
    assert (decision.move, decision.alias) == (False, "challenger")
    assert decision.reason == (
        "new is flagged: constant predictor: predicts 'a' for 100% of the samples."
    )


@pytest.mark.parametrize(("fault", "next_best"), [("chance_level", None), ("near", "low")])
def test_below_a_row_that_may_be_guessing_nobody_is_known_to_be_better(
    entry, task, fault, next_best
):
    board = build_board([entry("top", 3.0), entry("low", 1.0)], task(), draws=500)
    top, low = board.rows
    doubted = replace(top, guards=(Guard(fault, "said.", 1.0, "fault"),))
    found = replace(board, rows=(doubted, low)).champion_candidate
    assert (found and found.name) == next_best
    assert replace(board, rows=(low, doubted)).champion_candidate.name == "low"


def test_a_warning_does_not_stop_the_contender(entry, task):
    warning = Guard("near_duplicates", "3 pairs.", 3, "warning")
    assert judged(board_of(entry, task, guards=(warning,)), None).move


def test_an_incomplete_contender_is_refused(entry, task):
    board = board_of(entry, task)
    half = entry("new", complete=False, missing=("seed 42: folds 7",))
    decision = decide(board, replace(board.rows[0], entry=half), None)
    assert decision.reason == "new is incomplete; missing: seed 42: folds 7."
    assert not decision.move


def test_the_champion_itself_stays(entry, task):
    board = board_of(entry, task)
    decision = judged(board, board.rows[0].entry)
    assert (decision.move, decision.alias) == (False, None)


def test_other_samples_cannot_be_compared_and_do_not_move_the_title(entry, task, predictions):
    p = predictions()
    old = entry("old", predictions=p.take(np.arange(100)))
    decision = judged(board_of(entry, task), old)
    assert not decision.move
    assert decision.reason.startswith("cannot be compared with the champion old: ")
    assert "'new'" in decision.reason


def test_a_champion_of_other_contents_cannot_be_compared(entry, task):
    """The same ids, groups and labels, but other pictures."""
    old = entry("old", 0.5, fields={"samples.fingerprint": '"other"'})
    decision = judged(board_of(entry, task), old)
    assert (decision.move, decision.alias) == (False, "challenger")
    assert "was made on other samples" in decision.reason


def test_a_champion_without_predictions_is_not_overthrown_unseen(entry, task):
    decision = judged(board_of(entry, task), entry("old", predictions=None))
    assert not decision.move
    assert "--force" in decision.reason


def test_force_needs_a_reason_and_keeps_it(entry, task):
    board = board_of(entry, task)
    with pytest.raises(BoardError, match="--reason"):
        judged(board, entry("old", 3.0), force=True, reason="  ")
    decision = judged(board, entry("old", 3.0), force=True, reason="old licence expired")
    assert (decision.move, decision.forced) == (True, True)
    assert decision.reason == "forced: old licence expired"


def test_a_lead_within_the_rope_does_not_move_the_title(entry, task):
    assert judged(board_of(entry, task, skill=3.0), entry("old", 2.0)).move
    assert not judged(board_of(entry, task, skill=3.0, rope=0.5), entry("old", 2.0)).move
