"""Only what may be compared is ranked; the rest is listed with the field and both values."""

import json
from dataclasses import asdict

import numpy as np

from backbench.heads import settings_of
from backbench.leaderboard import build_board, comparable, variant_fields
from backbench.leaderboard.answer import answer
from backbench.leaderboard.asked import Asked
from backbench.tasks import Protocol, Task
from backbench.tasks.protocol import flatten


def select(entries, asked=None, **options):
    """Those that answer the fields of `make_entry`, unless another question is asked."""
    return comparable.select(entries, asked or Asked(entries[0].protocol), **options)


def reasons(selection):
    return {one.entry.name: one.reason for one in selection.unranked}


def ranked(selection):
    return sorted(entry.name for entry in selection.ranked)


def test_another_protocol_is_listed_with_the_field_and_both_values(entry):
    found = select([entry("a"), entry("b"), entry("c", fields={"head.lr": "0.01"})])
    assert ranked(found) == ["a", "b"]
    assert reasons(found) == {"c": "head.lr is 0.01, on the board 0.001."}
    assert found.unranked[0].fields == {"head.lr": ("0.01", "0.001")}


def test_the_largest_set_is_ranked(entry):
    odd = entry("a", fields={"head.lr": "0.01"}, started=9)
    rows = [entry(n, fields={"head.lr": "0.1"}) for n in "bc"]
    assert ranked(select([odd, *rows], Asked(entry().protocol))) == ["b", "c"]


def test_of_sets_equally_large_the_latest_is_ranked(entry):
    old = [entry(n, fields={"head.lr": "0.1"}, started=1) for n in "ab"]
    new = [entry(n, fields={"head.lr": "0.01"}, started=2) for n in "cd"]
    assert ranked(select(old + new, Asked(entry().protocol))) == ["c", "d"]


def test_runs_of_the_present_task_version_go_before_more_runs_of_an_old_one(entry, task):
    old = [entry(n) for n in "abc"]
    new = [entry("d", fields={"version": "2"}, task_version=2)]
    found = select(old + new, asked=Asked.of(task(version=2)))
    assert ranked(found) == ["d"]
    assert reasons(found)["a"] == "version is 1, on the board 2."


def test_the_task_as_its_file_has_it_goes_before_more_runs_of_other_settings(entry, task):
    """Nearest to the task, then most rows: however often somebody tried something else."""
    asked = Asked.of(task(head={"kind": "linear", "lr": 0.001}))
    tried = [entry(n, fields={"head.lr": "0.01"}) for n in "abc"]
    other = [entry(n, head="knn", fields={"head.kind": '"knn"', "head.lr": "2"}) for n in "def"]
    assert ranked(select([*tried, *other, entry("own")], asked=asked)) == ["own"]
    assert ranked(select([*other, *tried], asked=asked)) == ["a", "b", "c"]
    assert ranked(select(other, asked=asked)) == ["d", "e", "f"], "better than none"


def test_what_was_named_is_ranked_or_nothing(entry, task):
    rows = [entry(n, head="knn", fields={"head.kind": '"knn"'}) for n in "ab"]
    asked = Asked.of(task(), named=["head.kind"])
    found = select(rows, asked=asked)
    assert ranked(found) == []
    assert reasons(found)["a"] == "head.kind is knn, asked for linear."
    board = build_board(rows, task(), asked=asked)
    assert answer(board) == "Nothing can be ranked; 2 runs found, none as asked."


def test_permuted_labels_are_never_ranked_beside_real_ones(entry, task):
    permuted = [entry(n, 0.0, fields={"permute_labels": "true"}) for n in "abc"]
    found = select([*permuted, entry("real")], asked=Asked.of(task()))
    assert ranked(found) == ["real"]
    assert reasons(found)["a"] == "permute_labels is true, asked for false."
    assert ranked(select(permuted, asked=Asked.of(task()))) == []
    on_purpose = select([*permuted, entry("real")], asked=Asked.of(task(permute_labels=True)))
    assert ranked(on_purpose) == ["a", "b", "c"]


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(entry):
    lost = entry("lost", predictions=None, unreadable="run x has no artifact 'y'.")
    assert reasons(select([entry("a"), lost])) == {
        "lost": "cannot be read: run x has no artifact 'y'."
    }


def test_a_protocol_to_match_may_be_given(entry):
    wanted = entry("a", fields={"head.lr": "0.01"})
    found = select([wanted, entry("b"), entry("c")], protocol=wanted.protocol)
    assert ranked(found) == ["a"]


def test_a_protocol_that_no_run_has_ranks_nothing_and_says_why(entry):
    found = select([entry("a")], protocol=Protocol({"version": "7"}))
    assert ranked(found) == []
    assert "version is 1, on the board 7" in reasons(found)["a"]


def test_an_incomplete_run_is_listed_with_its_missing_units(entry):
    half = entry("half", complete=False, missing=("seed 42: folds 0-3", "seed 123: folds 7"))
    found = select([entry("a"), half])
    assert ranked(found) == ["a"]
    assert reasons(found)["half"] == "incomplete; missing: seed 42: folds 0-3; seed 123: folds 7."


def test_a_long_list_of_missing_units_is_cut_short(entry):
    half = entry("half", complete=False, missing=tuple(f"unit {i}" for i in range(40)))
    assert reasons(select([half]))["half"].endswith("unit 4; and 35 more.")


def test_a_run_without_predictions_is_never_ranked(entry):
    assert ranked(select([entry("a", predictions=None)])) == []


def test_of_two_runs_of_the_same_row_the_later_counts(entry):
    early, late = entry("a", noise=1, started=1), entry("a", noise=2, started=2)
    found = select([early, late])
    assert found.ranked == (late,)
    assert reasons(found)["a"] == f"replaced by a later run of the same ({late.run_id[:8]})."


def test_metrics_that_a_run_reported_do_not_matter(entry):
    """The board computes every metric itself, from the predictions."""
    found = select([entry("a"), entry("b", fields={"metrics.report": '["accuracy"]'})])
    assert ranked(found) == ["a", "b"]


def test_variants_may_differ_in_exactly_the_fields_they_name(entry):
    drop = {"variant": "drop", "varied": ("head.modalities",)}
    rows = [
        entry("base", fields={"head.modalities": '["a", "b"]'}),
        entry("drop", fields={"head.modalities": '["b"]'}, **drop),
        entry("sly", fields={"head.modalities": '["b"]', "head.lr": "0.5"}, **drop),
    ]
    found = select(rows, compare="variants")
    assert ranked(found) == ["base", "drop"]
    assert reasons(found) == {"sly": "head.lr is 0.5, on the board 0.001."}
    assert ranked(select(rows)) != ["base", "drop"], "they are no rows of a board of backbones"


def test_a_field_that_only_a_third_variant_names_is_no_excuse(entry):
    """`drop` runs of an older task file differ in what `causal` names."""
    rows = [
        entry("base", fields={"head.causal": "false"}),
        entry("causal", fields={"head.causal": "true"}, variant="c", varied=("head.causal",)),
        entry("base2", fields={"head.causal": "false"}),
        entry("old", fields={"head.causal": "true"}, variant="d", varied=("head.modalities",)),
    ]
    found = select(rows, compare="variants")
    assert ranked(found) == ["base", "base2", "causal"]
    assert "head.causal is true, on the board false" in reasons(found)["old"]


def test_heads_may_differ_in_everything_of_the_head(entry):
    ridge = entry("a", head="ridge", fields={"head.kind": '"ridge"', "head.alpha": "1"})
    assert len(select([entry("a"), ridge], compare="heads").ranked) == 2
    assert len(select([entry("a"), ridge]).ranked) == 1


def test_rows_over_other_samples_are_listed_with_the_difference(entry, predictions):
    """The same protocol, but one sample was lost on the way."""
    short = predictions(2.0)
    rows = [entry("a"), entry("b"), entry("c", predictions=short.take(np.arange(1, len(short))))]
    found = select(rows)
    assert ranked(found) == ["a", "b"]
    assert reasons(found)["c"] == (
        "263 samples were predicted, on the board 264; missing here: s0000."
    )


def test_the_fields_of_a_variant_are_read_from_the_task():
    task = Task(
        name="faba",
        version=1,
        samples="x.csv",
        variants={
            "drop": {"head": {"modalities": ["vi"], "dropout": 0.1}},
            "plain": {"head": {"kind": "ridge", "alpha": 1}},
        },
    )
    assert variant_fields(task, "drop") == ("head.modalities", "head.dropout")
    assert variant_fields(task, "plain") == ("head",)
    assert variant_fields(task, "") == ()


def test_values_are_shown_without_the_quotes_of_json(entry):
    other = entry("c", fields={"folds.scheme": json.dumps("group_k_fold")})
    rows = [entry(n, fields={"folds.scheme": json.dumps("given_split")}) for n in "ab"]
    said = reasons(select([*rows, other]))["c"]
    assert said == "folds.scheme is group_k_fold, on the board given_split."


def test_along_heads_the_run_with_the_tasks_settings_is_the_row(entry):
    """Tried with another setting later: another run, not the same one again."""
    plain = entry("a", noise=1, started=1)
    tried = entry("a", noise=2, fields={"head.lr": "0.3"}, started=2)
    knn = entry("b", head="knn", fields={"head.kind": '"knn"'})
    found = select([plain, tried, knn], Asked(plain.protocol), compare="heads")
    assert {one.run_id for one in found.ranked} == {plain.run_id, knn.run_id}
    assert reasons(found)["a"] == "head.lr is 0.3, on the board 0.001."


def test_along_heads_the_run_with_the_defaults_of_its_head_is_the_row(entry):
    """Of a head that the task does not set."""
    ridge = {"head.kind": '"ridge"', "head.lr": "absent"}
    ridge |= flatten({"head": {"kind": "ridge", **asdict(settings_of({"kind": "ridge"}))}})
    usual = entry("a", noise=1, head="ridge", fields=ridge, started=1)
    tried = entry("a", noise=2, head="ridge", fields=ridge | {"head.lambdas": "[1e6]"}, started=2)
    linear = entry("b")
    found = select([usual, tried, linear], Asked(linear.protocol), compare="heads")
    assert {one.run_id for one in found.ranked} == {usual.run_id, linear.run_id}
