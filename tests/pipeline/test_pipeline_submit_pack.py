"""Packing: every missing unit once, and the caps of the queue hold, whatever is missing."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backbench.pipeline.submit_pack import (
    BOARD,
    EVALUATE,
    EXTRACT,
    TRAIN,
    Command,
    Item,
    Stage,
    cut,
    fitted,
    rectangles,
    train_commands,
)

UNITS = st.sets(st.tuples(st.sampled_from([42, 123, 456]), st.integers(0, 43)))
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def stages(sizes: list[int]) -> list[Stage]:
    """Stages of so many tasks, of one command each, all different."""
    return [
        Stage.of(f"s{n}", [[Command(f"s{n}", f"do {n} {i}", f"b{i}")] for i in range(size)])
        for n, size in enumerate(sizes)
    ]


def commands(made: list[Stage] | tuple[Stage, ...]) -> list[str]:
    return [c.line for stage in made for task in stage.tasks for c in task.commands]


@given(UNITS, st.integers(1, 200))
def test_every_missing_unit_is_trained_by_exactly_one_command(units, count) -> None:
    tasks = train_commands(lambda seeds, folds: f"{seeds} {folds}", "clip", units, count)
    trained = Counter(item for task in tasks for command in task for item in command.items)
    assert trained == Counter(Item(TRAIN, "clip", seed, fold) for seed, fold in units)
    assert len(tasks) == min(count, len(units))
    sizes = [sum(len(command.items) for command in task) for task in tasks]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_a_whole_protocol_is_one_command() -> None:
    units = [(seed, fold) for seed in (42, 123, 456) for fold in range(44)]
    ((command,),) = train_commands(lambda s, f: f"{s} {f}", "clip", units, 1)
    assert (command.seeds, command.folds) == ((42, 123, 456), "0-43")


@given(UNITS)
def test_rectangles_do_not_overlap(units) -> None:
    covered = [(s, f) for seeds, folds in rectangles(units) for s in seeds for f in folds]
    assert Counter(covered) == Counter(units)


@given(st.lists(st.integers()), st.integers(1, 50))
def test_pieces_are_neighbours_of_nearly_one_length(things, parts) -> None:
    pieces = cut(things, parts)
    assert [thing for piece in pieces for thing in piece] == things
    assert len(pieces) == min(parts, len(things))
    assert all(pieces)


@given(SIZES, st.one_of(st.none(), st.integers(1, 60)), st.one_of(st.none(), st.integers(1, 20)))
def test_caps_hold_and_no_command_is_lost(sizes, cap, largest) -> None:
    made = fitted(stages(sizes), cap, largest)
    assert sorted(commands(made)) == sorted(commands(stages(sizes)))
    assert all(1 <= len(stage.tasks) <= (largest or 30) for stage in made)
    if cap:
        assert sum(len(stage.tasks) for stage in made) <= cap


@given(SIZES, st.integers(1, 60))
def test_what_depends_on_another_stage_comes_after_it(sizes, cap) -> None:
    made = fitted(stages(sizes), cap, None)
    for stage in made:
        for task in stage.tasks:
            steps = [{command.step for command in phase} for phase in task.phases]
            assert all(len(step) == 1 for step in steps)
            assert steps == sorted(steps, key=min)


def test_a_queue_of_four_takes_the_whole_protocol() -> None:
    names = (EXTRACT, "train", EVALUATE, BOARD)
    made = fitted(stages([4, 132, 4, 1]), 4, 1001)
    assert [len(stage.tasks) for stage in made] == [1, 1, 1, 1]
    assert len(commands(made)) == 141
    assert len(names) == len(made)


def test_a_queue_of_one_takes_it_too() -> None:
    (stage,) = fitted(stages([2, 2, 2, 1]), 1, None)
    (task,) = stage.tasks
    assert stage.name == "s0-s1-s2-s3"
    assert [len(phase) for phase in task.phases] == [2, 2, 2, 1]
