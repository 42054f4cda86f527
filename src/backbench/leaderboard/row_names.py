"""What the rows of a board are called."""

from collections.abc import Mapping, Sequence

from backbench.leaderboard.comparable import Axis
from backbench.leaderboard.entry import Entry

NAMED_BY = ("backbone", "checkpoint", "variant", "head")
"""What may distinguish two rows."""

_ALONG: Mapping[Axis, str] = {"variants": "variant", "heads": "head"}


def row_names(entries: Sequence[Entry], compare: Axis) -> dict[str, Entry]:
    """Unique names: what is compared, and what distinguishes two rows of one name, is added."""
    named: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.name, e.run_id)):
        same = [e for e in entries if e.name == entry.name]
        extra = [
            getattr(entry, field) or "task itself"
            for field in NAMED_BY
            if field == _ALONG.get(compare) or len({getattr(e, field) for e in same}) > 1
        ]
        name = " · ".join([entry.name, *extra])
        named[name if name not in named else f"{name} · {entry.run_id[:8]}"] = entry
    return named
