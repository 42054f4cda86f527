"""Seeds that no generator takes, and seeds that would be trained twice, never get in."""

import pytest

from backbench.errors import TaskError
from backbench.tasks import load_task


@pytest.mark.parametrize("seeds", ["[]", "[-1]", "[42, 42]", "[1, 4294967296]"])
def test_seeds_that_cannot_be_trained_with_are_refused_in_one_line(seeds: str) -> None:
    with pytest.raises(TaskError, match=r"'seeds' is .*from 0 to 4294967295, each once") as error:
        load_task("digits", overrides=[f"seeds={seeds}"])
    assert "\n" not in str(error.value)


def test_the_last_seed_there_is_may_be_trained_with() -> None:
    assert load_task("digits", overrides=["seeds=[0, 4294967295]"]).seeds == (0, 2**32 - 1)
