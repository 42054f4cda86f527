"""What the samples of a task are, in lines for a person: how many of a class, and what is odd."""

from collections.abc import Iterator, Mapping

import numpy as np

from backbench.errors import counted
from backbench.samples import Samples

_MISSING = frozenset({"nan", "none", "null", "<na>"})
_COUNTED = 20
"""Classes up to which each is told with its count."""


def about_samples(samples: Samples) -> Iterator[str]:
    """A line of counts, and one more for each thing that is mostly a slip."""
    labels, numbers = np.unique(samples.y, return_counts=True)
    counts = {samples.classes[code]: int(n) for code, n in zip(labels, numbers, strict=True)}
    groups = counted(len(np.unique(samples.groups)), "group")
    yield f"samples   {samples.name}: {len(samples):,} in {groups}; {_counted(counts)}"
    yield from (f"warning   {doubt}." for doubt in samples.doubts)
    yield from _alone(samples, counts)
    missing = [name for name in counts if name.casefold() in _MISSING]
    if missing:
        yield (
            f"warning   {_named(missing)} the name of a missing value; if labels are missing "
            "there, leave these samples out."
        )


def _alone(samples: Samples, counts: Mapping[str, int]) -> Iterator[str]:
    """Classes that folds cannot have on both sides, since no group may be."""
    by_class = samples.frame.groupby("label")["group"].nunique()
    within = [name for name in counts if by_class[name] == 1]
    single = [name for name in within if counts[name] == 1]
    for names, what in (
        (single, "one sample"),
        ([name for name in within if name not in single], "samples of one group"),
    ):
        if names:
            yield (
                f"warning   {_named(names)} {what} only, which cannot be trained and tested on; "
                "add some, or leave it out."
            )


def _counted(counts: Mapping[str, int]) -> str:
    if len(counts) <= _COUNTED:
        return ", ".join(f"{name} {count}" for name, count in counts.items())
    few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return f"{len(counts)} classes, from {few} {counts[few]} to {many} {counts[many]}"


def _named(classes: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in classes[:_COUNTED])
    more = " ..." if len(classes) > _COUNTED else ""
    return f"class {shown} has" if len(classes) == 1 else f"classes {shown}{more} have"
