"""What is recalled equals what is computed, bit for bit, and only what is new is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbench.files.kept import Kept
from backbench.metrics import compare_pairs, recall
from backbench.metrics.comparison import all_pairs

NAMES = "abcdef"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


@pytest.fixture
def pool(make):
    """Six rows, two of them with the same predictions, and of one, two and three seeds."""
    rows = {name: make(seed=i, skill=i / 3, seeds=1 + i % 3) for i, name in enumerate(NAMES)}
    return rows | {"f": rows["b"]}


def told(rows, kept=None, metric="accuracy", **options):
    """Everything that comparisons say, to the last bit."""
    made = compare_pairs(rows, all_pairs(rows), metric, kept=kept, **{"draws": 60} | options)
    return [made.rows.value.tobytes(), *(repr(made[pair]) for pair in made)]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    boards=st.lists(
        st.tuples(
            st.sets(st.sampled_from(NAMES), min_size=1),
            st.sampled_from(["accuracy", "log_loss_fold_mean"]),
            st.fixed_dictionaries(
                {},
                optional={
                    "draws": st.sampled_from([60, 61]),
                    "seed": st.integers(0, 1),
                    "rope": st.sampled_from([0.0, 0.02]),
                    "test_to_train": st.sampled_from([0.1, 0.5]),
                },
            ),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_boards_in_any_order_say_what_they_say_alone(pool, tmp_path_factory, boards):
    """Rows come and go, options change: one memory, always the answer without it."""
    kept = Kept(tmp_path_factory.mktemp("kept"))
    for names, metric, options in boards:
        rows = {name: pool[name] for name in sorted(names)}
        assert told(rows, kept, metric, **options) == told(rows, None, metric, **options)


@pytest.fixture
def drawn(monkeypatch):
    """How many rows each call of `draw` got."""
    counts, draw = [], recall.draw

    def counted(rows, *options):
        counts.append(len(rows))
        return draw(rows, *options)

    monkeypatch.setattr(recall, "draw", counted)
    return counts


def test_only_a_new_row_is_drawn(pool, kept, drawn):
    some = {name: pool[name] for name in "abce"}
    told(some, kept)
    assert drawn == [4]
    told(some, kept)
    told({name: pool[name] for name in "ae"}, kept)
    assert drawn == [4], "unchanged, and one row less"
    told(some | {"d": pool["d"], "f": pool["f"]}, kept)
    assert drawn == [4, 1], "the predictions of f are those of b"


def test_a_pair_without_defined_draws_is_known_too(make, kept, drawn, monkeypatch):
    """Each fold has one class only: nothing is defined, in no draw."""
    rows = {name: make(seed=i, folds=3, classes=2) for i, name in enumerate("ab")}
    rows = {name: replace(row, y_true=row.fold % 2) for name, row in rows.items()}
    first = told(rows, kept, "auroc_ovr_fold_mean")
    monkeypatch.setattr(recall, "spread", None)
    assert told(rows, kept, "auroc_ovr_fold_mean") == first
    assert drawn == [2]


def test_other_rope_and_correction_are_no_reason_to_draw_again(pool, kept, drawn):
    told(pool, kept)
    told(pool, kept, rope=0.1, test_to_train=0.3)
    assert len(drawn) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, y_true=(r.y_true + 1) % 3),
        lambda r: replace(r, group=np.roll(r.group, 1)),
        lambda r: replace(r, fold=r.fold + 1),
        lambda r: replace(r, classes=("x", "y", "z")),
        lambda r: replace(r, sample_id=np.char.add(r.sample_id, "x")),
        lambda r: replace(r, probabilities=np.roll(r.probabilities, 1, axis=1)),
        lambda r: replace(r, probabilities=r.probabilities[::-1], seeds=r.seeds),
    ],
)
def test_rows_of_the_same_names_and_other_content_are_other_rows(make, kept, drawn, change):
    rows = {name: make(seed=i) for i, name in enumerate("ab")}
    told(rows, kept)
    others = {name: change(row) for name, row in rows.items()}
    assert told(others, kept) == told(others)
    assert drawn == [2, 2, 2]


def test_the_order_of_the_samples_in_a_file_is_no_other_content(pool, kept, drawn):
    first = told(pool, kept)
    shuffled = {
        name: row.take(np.random.default_rng(i).permutation(60))
        for i, (name, row) in enumerate(pool.items())
    }
    assert told(shuffled, kept) == first
    assert len(drawn) == 1


@pytest.mark.parametrize("what", ["_code", "_machine"])
def test_other_code_or_another_machine_draws_anew(pool, kept, drawn, monkeypatch, what):
    told(pool, kept)
    monkeypatch.setattr(recall, what, lambda: "another")
    told(pool, kept)
    assert len(drawn) == 2


def test_a_damaged_memory_is_made_again(pool, kept, drawn):
    first = told(pool, kept)
    (path,) = kept.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    assert told(pool, kept) == first
    assert told(pool, kept) == first
    assert len(drawn) == 2


def test_a_long_memory_forgets_the_oldest_rows(pool, kept, drawn, monkeypatch):
    monkeypatch.setattr(recall, "MOST", 3)
    for pair in ("ab", "cd", "cd", "ab"):
        told({name: pool[name] for name in pair}, kept)
    assert drawn == [2, 2, 1], "b stayed when c and d came, a went"
    assert told(pool, kept) == told(pool), "a board may have more rows than that"
