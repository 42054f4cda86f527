"""Lines for a person."""

import pytest

from backbench.errors import some


@pytest.mark.parametrize(
    ("names", "said"),
    [("", ""), ("a", "a"), ("abcde", "a, b, c, d, e"), ("abcdef", "a, b, c, d, e ...")],
)
def test_of_many_names_the_first_are_said(names: str, said: str) -> None:
    assert some(iter(names)) == said
