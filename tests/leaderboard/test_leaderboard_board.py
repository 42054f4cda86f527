"""The board: ranks, ties, names, and independence of order."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbench.errors import MetricError
from backbench.files.kept import Kept
from backbench.leaderboard import build_board
from backbench.leaderboard.answer import answer, facts, notes
from backbench.leaderboard.tables import to_csv, to_markdown
from backbench.tasks import MetricSettings

DRAWS = 500


def names(board):
    return [row.name for row in board.rows]


def test_rows_that_the_data_cannot_separate_share_their_places(entries, task):
    board = build_board(entries, task(), draws=DRAWS)
    assert [row.rank for row in board.rows] == ["1-3", "1-3", "1-3", "4", "5"]
    assert names(board)[3:] == ["pixels", "untrained"]
    assert [row.to_best.verdict for row in board.rows[1:3]] == ["not separated"] * 2


def test_the_order_of_the_entries_does_not_change_the_board(entry, task):
    """Ties in value included: two rows of equal predictions."""
    given_entries = [
        entry("a", 2.0),
        entry("b", 2.0, noise=97),
        entry("c", 1.0),
        entry("d", 2.4),
        entry("other", 2.0, fields={"head.lr": "0.1"}),
        entry("half", 2.0, complete=False, missing=("seed 42: folds 3",)),
    ]
    first = to_csv(build_board(given_entries, task(), draws=DRAWS))
    for seed in range(5):
        shuffled = random.Random(seed).sample(given_entries, len(given_entries))
        assert to_csv(build_board(shuffled, task(), draws=DRAWS)) == first


def test_a_metric_where_lower_is_better_ranks_the_lowest_first(entries, task):
    board = build_board(entries, task(metrics=MetricSettings("log_loss")), draws=DRAWS)
    values = [row.estimates["log_loss"].value for row in board.rows]
    assert values == sorted(values)
    assert board.rows[-1].to_best.verdict == "worse"
    assert board.rows[-1].to_best.difference > 0


def test_every_reported_metric_has_a_value_and_an_interval(entries, task):
    board = build_board(entries, task(), draws=DRAWS)
    assert board.metrics[0].name == "balanced_accuracy"
    for row in board.rows:
        for one in row.estimates.values():
            assert one.low <= one.value <= one.high or one.metric == "ece"


def test_a_comparison_reads_the_same_from_both_sides(entries, task):
    board = build_board(entries, task(), draws=DRAWS)
    forth, back = (board.comparison("clip", "pixels"), board.comparison("pixels", "clip"))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert forth.difference == -back.difference
    assert (forth.low, forth.high) == (-back.high, -back.low)


def test_two_rows_of_one_name_are_told_apart_by_what_distinguishes_them(entry, task):
    rows = [entry("vit", 2.0, checkpoint=c, noise=i) for i, c in enumerate(["default", "a.pt"])]
    assert set(names(build_board(rows, task(), draws=DRAWS))) == {"vit · default", "vit · a.pt"}


def test_a_row_is_called_what_is_compared(entry, task):
    """Under the heading "head" stands a head, also where there is only one."""
    only = build_board([entry("clip")], task(), compare="heads", draws=DRAWS)
    assert names(only) == ["clip · linear"]
    dropped = entry("dino", variant="drop")
    board = build_board([entry("clip"), dropped], task(), compare="variants", draws=DRAWS)
    assert set(names(board)) == {"clip · task itself", "dino · drop"}


def test_the_facts_say_where_the_question_is_not_the_task_file_s(entries, task):
    board = build_board(entries, task(), draws=DRAWS)
    other = replace(board, departs=("head knn", "head.k=5"))
    assert " · head knn · head.k=5 · ranked by " in facts(other)
    assert "head" not in facts(board)


def test_without_entries_the_board_is_empty_and_says_so(task):
    board = build_board([], task())
    assert board.rows == ()
    assert answer(board) == "Nothing can be ranked yet."
    assert to_csv(board) == "rank\n"
    assert "Nothing can be ranked" in to_markdown(board)


def test_one_entry_alone_is_ranked_but_compared_with_nothing(entry, task):
    board = build_board([entry("clip")], task(), draws=DRAWS)
    assert board.rows[0].rank == "1"
    assert answer(board).startswith("clip is the only row: balanced accuracy 0.")


def test_only_incomplete_entries_leave_nothing_to_rank(entry, task):
    board = build_board([entry("clip", complete=False, missing=("seed 42: folds 7",))], task())
    assert answer(board) == "Nothing can be ranked; 1 run found, none complete."
    assert board.unranked[0].reason == "incomplete; missing: seed 42: folds 7."


def test_a_metric_that_does_not_exist_is_an_error(entry, task):
    with pytest.raises(MetricError, match="acuracy"):
        build_board([entry()], task(metrics=MetricSettings("acuracy")))


def test_the_answer_names_a_sole_winner_as_best(entry, task):
    board = build_board([entry("clip", 3.0), entry("pixels", 0.5)], task(), draws=DRAWS)
    assert answer(board).startswith("clip is best: balanced accuracy 0.")
    assert answer(board).endswith("better than pixels.")


def test_the_answer_says_when_nothing_can_be_separated(entry, task):
    board = build_board([entry("a", 2.0), entry("b", 2.0), entry("c", 2.0)], task(), draws=DRAWS)
    assert answer(board).startswith("The data cannot separate the 3 backbones: ")


def test_the_answer_lists_rivals_and_those_that_are_behind(entries, task):
    said = answer(build_board(entries, task(), draws=DRAWS))
    assert "leads with balanced accuracy" in said
    assert "the data cannot separate it from" in said
    assert said.endswith("pixels and untrained are behind.")


def test_the_answer_warns_when_the_leader_is_flagged(entry, task):
    row = entry("a", 2.0)
    twin = entry("b", 2.0, predictions=row.predictions, lineage={"weights": "e" * 64})
    board = build_board([row, twin], task(), draws=DRAWS)
    assert answer(board).endswith(f"But {board.rows[0].name} is flagged: identical predictions.")
    assert board.champion_candidate is None


def test_the_facts_count_what_the_numbers_rest_on(entries, task):
    board = build_board(entries, task(), draws=DRAWS)
    assert facts(board) == (
        "264 samples in 44 groups · 4 classes · 44 folds x 3 seeds · "
        "ranked by balanced accuracy, higher is better"
    )
    assert any("44 groups" in note for note in notes(board))


def test_without_groups_the_words_speak_of_samples(entry, predictions, task):
    single = predictions(groups=60, each=1)
    board = build_board([entry(predictions=single)], task(), draws=DRAWS)
    assert facts(board).startswith("60 samples · ")
    assert "group" not in notes(board)[0]
    assert "resamples of the 60 samples." in notes(board)[0]


def test_few_groups_and_one_seed_are_pointed_out(entry, predictions, task):
    small = predictions(groups=5, seeds=(42,))
    said = " ".join(notes(build_board([entry(predictions=small)], task(), draws=DRAWS)))
    assert "Only 5 groups" in said
    assert "Fewer than 6 groups never separate rows" in said
    assert "One seed" in said


def test_few_groups_that_hold_most_of_a_class_are_pointed_out(entry, predictions, task):
    row = predictions()
    rare = replace(row, y_true=np.isin(row.group, ["g00", "g01"]).astype(np.int64))
    said = " ".join(notes(build_board([entry(predictions=rare)], task(), draws=DRAWS)))
    assert "balanced accuracy rests on no more than 2.2 groups of equal weight" in said
    assert "Fewer than 6 groups never separate rows" in said


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(skills=st.lists(st.floats(0, 3), min_size=2, max_size=6))
def test_places_are_consistent_for_any_rows(entry, task, skills):
    """A row better than k others has k places below its last; verdicts and places agree."""
    rows = [entry(f"m{i}", skill) for i, skill in enumerate(skills)]
    board = build_board(rows, task(), draws=200)
    values = [row.estimates[board.primary].value for row in board.rows]
    assert values == sorted(values, reverse=True)
    for place, row in enumerate(board.rows, start=1):
        assert 1 <= row.first <= place <= row.last <= len(rows)
        beaten = [o for o in board.rows if o is not row and _beats(board, row, o)]
        assert row.last == len(rows) - len(beaten)


def test_a_board_that_remembers_is_the_board_that_does_not(entries, entry, task, tmp_path):
    """Cold, unchanged, with a row more, a row less and other options: alike to the last bit."""
    kept = Kept(tmp_path / "kept")
    for rows, settings_ in [
        (entries, task()),
        (entries, task()),
        ([*entries, entry("late", 2.2)], task()),
        (entries[1:], task()),
        (entries, task(metrics=MetricSettings("log_loss", rope=0.1))),
    ]:
        plain = build_board(rows, settings_, draws=DRAWS)
        board = build_board(rows, settings_, draws=DRAWS, kept=kept)
        assert to_csv(board) == to_csv(plain)
        assert list(map(repr, board.pairs.values())) == list(map(repr, plain.pairs.values()))
        assert [repr(row.to_best) for row in board.rows] == [repr(r.to_best) for r in plain.rows]


def _beats(board, a, b):
    return board.comparison(a.name, b.name).verdict == "better"


@pytest.mark.slow
def test_a_hundred_rows_take_seconds(entry, task):
    from time import process_time

    rows = [entry(f"m{i}", 2 + i / 100, noise=i) for i in range(100)]
    start = process_time()
    board = build_board(rows, task(), draws=2000)
    assert process_time() - start < 20
    assert len(board.pairs) == 4950
    assert np.isfinite([row.estimates["auroc_ovr"].low for row in board.rows]).all()
