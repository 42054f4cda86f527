"""Who cannot become champion, and why."""

from types import SimpleNamespace

from backbench.pipeline.champion import _nobody, _obstacle


def row(name: str, *faults: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, faults=[*faults], flagged=bool(faults))


def test_the_row_that_may_be_guessing_is_named() -> None:
    rows = [row("a", "coverage_loss"), row("b", "chance_level"), row("c")]
    assert _nobody(SimpleNamespace(rows=rows)).startswith("b, above c, cannot be told")
    assert _nobody(SimpleNamespace(rows=rows[:2])) == "no row is without a fault"


def test_a_summary_that_does_not_say_what_a_model_needs_is_refused() -> None:
    told = dict.fromkeys(("train_runs", "identity_key", "weights", "precision"), "x")
    entry = SimpleNamespace(head="linear", lineage=told, run_id="4f")
    board = SimpleNamespace(task=SimpleNamespace(permute_labels=False))
    words = _obstacle(board, SimpleNamespace(entry=entry))
    assert "does not say its transform and min_side; delete run 4f" in words
