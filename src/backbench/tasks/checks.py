"""What a task may be called, which seeds it may have, and which head beside a variant."""

from collections.abc import Mapping
from typing import Any

from backbench.errors import TaskError

_NOT_IN_NAMES = frozenset("/:'\"`\\")
_LONGEST_NAME = 200
SEEDS = 2**32
"""Where seeds of NumPy's and scikit-learn's generators end."""


def check_name(name: str) -> None:
    """Experiments and registered models are called by it, in filters and addresses too.

    Raises:
        TaskError: it is empty, too long, or has a character that one of them cannot have.
    """
    wrong = [c for c in name if c in _NOT_IN_NAMES or not c.isprintable()]
    if wrong or name in ("", ".", "..") or name != name.strip() or len(name) > _LONGEST_NAME:
        raise TaskError(
            f"the task's name is {name[:_LONGEST_NAME]!r}, but experiments and models are called "
            f"by it: 1 to {_LONGEST_NAME} characters, none of {' '.join(sorted(_NOT_IN_NAMES))}, "
            "no space around it. Change 'name' in the task file."
        )


def check_seeds(seeds: tuple[int, ...]) -> None:
    """What every generator takes; of two runs of one seed, one would be lost.

    Raises:
        TaskError: none, one twice, or one out of range.
    """
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= s < SEEDS for s in seeds):
        raise TaskError(
            f"'seeds' is {list(seeds)}, but has to be one or more whole numbers from 0 to "
            f"{SEEDS - 1}, each once."
        )


def check_error_fraction(fraction: float) -> None:
    """A share of samples; NaN would be exceeded by none.

    Raises:
        TaskError: it is not from 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise TaskError(
            f"'max_error_fraction' is {fraction}, but has to be from 0 to 1: the share of samples "
            "that may be unreadable."
        )


def check_shuffle(number: int) -> None:
    """How the labels are shuffled.

    Raises:
        TaskError: it is negative.
    """
    if number < 0:
        raise TaskError(
            f"'permute_labels' is {number}, but has to be false, true, or the number of a shuffle "
            "from 1 on."
        )


def check_fold_seed(seed: int) -> None:
    """What scikit-learn's splitters take.

    Raises:
        TaskError: it is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise TaskError(f"'folds.seed' is {seed}, but has to be from 0 to {SEEDS - 1}.")


def check_head_is_free(variant: str, changes: Mapping[str, Any], head: str) -> None:
    """Of a variant's head nothing would be left but the variant's name.

    Raises:
        TaskError: the variant changes the head, which `head` is to replace.
    """
    if "head" in changes:
        named = ", ".join(f"head.{name}" for name in changes["head"])
        raise TaskError(
            f"variant '{variant}' changes {named}, which --head {head} would replace with the rest "
            "of the head; leave out one of the two."
        )
