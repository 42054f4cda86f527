"""The champion moves only by evidence."""

import numpy as np
import pytest

from backbench.errors import BoardError
from backbench.leaderboard import Guard, build_board, decide

METRIC = "balanced_accuracy"


def contender(entry, task, **changes):
    return build_board([entry("new", **changes)], task(), draws=500).rows[0]


def test_the_first_champion_needs_no_rival(entry, task):
    decision = decide(contender(entry, task), None, METRIC, draws=500)
    assert (decision.move, decision.alias) == (True, "champion")
    assert decision.reason == "new is the first champion."


def test_a_better_contender_takes_the_title(entry, task):
    decision = decide(contender(entry, task, skill=3.0), entry("old", 1.0), METRIC, draws=500)
    assert (decision.move, decision.alias) == (True, "champion")
    assert decision.reason.startswith("new against the champion old: better, balanced accuracy +0.")
    assert "on the same 44 groups" in decision.reason
    assert decision.comparison.verdict == "better"


@pytest.mark.parametrize(("skill", "verdict"), [(2.0, "tied"), (1.0, "worse")])
def test_a_tied_or_worse_contender_becomes_challenger(entry, task, skill, verdict):
    decision = decide(contender(entry, task, skill=skill), entry("old", 2.0), METRIC, draws=500)
    assert (decision.move, decision.alias) == (False, "challenger")
    assert f": {verdict}, " in decision.reason


def test_a_higher_value_alone_does_not_move_the_title(entry, task):
    """The contender's value is above the champion's, but within the noise."""
    row = contender(entry, task, skill=2.1)
    old = entry("old", 2.0)
    decision = decide(row, old, METRIC, draws=500)
    assert decision.comparison.difference > 0
    assert not decision.move


def test_a_flagged_contender_is_refused_even_without_a_champion(entry, task):
    fault = Guard("constant_predictor", "predicts 'a' for 100% of the samples.", 1, "fault")
    decision = decide(contender(entry, task, guards=(fault,)), None, METRIC)
    assert (decision.move, decision.alias) == (False, "challenger")
    assert decision.reason == (
        "new is flagged: constant predictor: predicts 'a' for 100% of the samples."
    )


def test_a_warning_does_not_stop_the_contender(entry, task):
    warning = Guard("near_duplicates", "3 pairs.", 3, "warning")
    assert decide(contender(entry, task, guards=(warning,)), None, METRIC).move


def test_an_incomplete_contender_is_refused(entry, task):
    row = contender(entry, task)
    half = entry("new", complete=False, missing=("seed 42: folds 7",))
    decision = decide(type(row)(**{**vars(row), "entry": half}), None, METRIC)
    assert decision.reason == "new is incomplete; missing: seed 42: folds 7."
    assert not decision.move


def test_the_champion_itself_stays(entry, task):
    row = contender(entry, task)
    decision = decide(row, row.entry, METRIC)
    assert (decision.move, decision.alias) == (False, None)


def test_other_samples_cannot_be_compared_and_do_not_move_the_title(entry, task, predictions):
    p = predictions()
    old = entry("old", predictions=p.take(np.arange(100)))
    decision = decide(contender(entry, task), old, METRIC)
    assert not decision.move
    assert decision.reason.startswith("cannot be compared with the champion old: ")
    assert "'champion' and 'contender'" in decision.reason


def test_a_champion_without_predictions_is_not_overthrown_unseen(entry, task):
    decision = decide(contender(entry, task), entry("old", predictions=None), METRIC)
    assert not decision.move
    assert "--force" in decision.reason


def test_force_needs_a_reason_and_keeps_it(entry, task):
    row = contender(entry, task)
    with pytest.raises(BoardError, match="--reason"):
        decide(row, entry("old", 3.0), METRIC, force=True, reason="  ")
    decision = decide(row, entry("old", 3.0), METRIC, force=True, reason="old licence expired")
    assert (decision.move, decision.forced) == (True, True)
    assert decision.reason == "forced: old licence expired"


def test_a_lead_within_the_rope_does_not_move_the_title(entry, task):
    row = contender(entry, task, skill=3.0)
    assert decide(row, entry("old", 2.0), METRIC, draws=500).move
    assert not decide(row, entry("old", 2.0), METRIC, draws=500, rope=0.5).move
