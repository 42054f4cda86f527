"""Which entries may be ranked against each other; the rest is listed with the reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np

from backbench.leaderboard.asked import Asked
from backbench.leaderboard.entry import Entry, plain
from backbench.tasks import Protocol

Axis = Literal["backbones", "variants", "heads"]
_SHOWN = 5


@dataclass(frozen=True)
class Unranked:
    """An entry the board shows without a rank.

    Attributes:
        entry: the run.
        reason: one sentence: the field that differs with both values, the missing units, the
            later run that replaced it, or why it cannot be read.
        fields: protocol fields that differ, as (here, on the board).
    """

    entry: Entry
    reason: str
    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The entries to rank (latest first), the others, and the protocol that was chosen."""

    ranked: tuple[Entry, ...]
    unranked: tuple[Unranked, ...]
    protocol: Protocol | None


def select(
    entries: Iterable[Entry],
    asked: Asked,
    *,
    compare: Axis = "backbones",
    protocol: Protocol | None = None,
) -> Selection:
    """Choose the entries that may be ranked.

    Without a `protocol` to match, the set of mutually comparable entries is taken that differs
    from what is asked in the fewest fields, then has most rows, then was started last.

    Args:
        entries: in any order; the result does not depend on it.
        asked: what the board is asked about.
        compare: what may differ between rows besides backbone and checkpoint: nothing more, the
            fields that the variants name, or the head.
        protocol: rank against this one instead.
    """
    latest = sorted(entries, key=lambda e: (-e.started, e.run_id))
    whole = [e for e in latest if e.complete and e.predictions is not None]
    unranked = [Unranked(e, _incomplete(e)) for e in latest if e not in whole]
    answers = [e for e in whole if not asked.refuses(e)]
    chosen = _chosen(answers, compare, asked, protocol)
    anchor = protocol or _nearest(chosen, asked)
    others = [e for e in whole if e not in chosen]
    unranked += [_different(e, chosen, anchor, compare) for e in others if e in answers and anchor]
    unranked += [_unasked(e, asked.refuses(e)) for e in others if e not in answers]
    current, replaced = _one_of_each(chosen, compare, asked)
    aligned, misaligned = _same_samples(current)
    return Selection(tuple(aligned), tuple(_by_name(unranked + replaced + misaligned)), anchor)


def row_key(entry: Entry, compare: Axis) -> tuple[str, ...]:
    """What makes a row of the board: two runs of the same key are the same row."""
    along = {"backbones": (), "variants": (entry.variant,), "heads": (entry.head,)}[compare]
    return (entry.backbone, entry.checkpoint, *along)


def free_fields(a: Entry, b: Entry | Asked, compare: Axis) -> tuple[str, ...]:
    """Protocol fields in which the two may differ on a board along `compare`.

    Which metrics a run reported never matters: the board computes its own from the predictions.
    """
    along = {"backbones": (), "variants": (*a.varied, *b.varied), "heads": ("head",)}[compare]
    return ("metrics", *along)


def _chosen(
    whole: Sequence[Entry], compare: Axis, asked: Asked, protocol: Protocol | None
) -> list[Entry]:
    fits = _compatibility(compare)
    if protocol is not None:
        exact = [e for e in whole if not e.protocol.differences(protocol, free=("metrics",))]
        return _mutual(exact, whole, fits)
    kinds = {_kind(e): e for e in reversed(whole)}
    sets = [_mutual([anchor], whole, fits) for anchor in kinds.values()]
    return max(sets, key=lambda s: _worth(s, compare, asked), default=[])


def _nearest(chosen: Sequence[Entry], asked: Asked) -> Protocol | None:
    """The protocol among those chosen that is most what was asked, metrics too."""
    one = min(chosen, key=lambda e: len(asked.differences(e, free=())), default=None)
    return one.protocol if one else None


def _mutual(
    chosen: list[Entry], whole: Sequence[Entry], fits: Callable[[Entry, Entry], bool]
) -> list[Entry]:
    """Grow `chosen` with every entry that may be compared with all of it, the latest first."""
    if not chosen:
        return []
    grown = list(chosen)
    kinds = {_kind(entry): entry for entry in grown}
    for entry in whole:
        if entry not in grown and all(fits(entry, other) for other in kinds.values()):
            grown.append(entry)
            kinds.setdefault(_kind(entry), entry)
    return [entry for entry in whole if entry in grown]


def _kind(entry: Entry) -> tuple[str, ...]:
    """All that decides what an entry may be compared with."""
    return (entry.protocol.hash, *entry.varied)


def _compatibility(compare: Axis) -> Callable[[Entry, Entry], bool]:
    """`differences` once for each pair of protocols instead of each pair of entries."""
    known: dict[tuple[str, ...], Entry] = {}

    def fits(a: Entry, b: Entry) -> bool:
        keys = [_kind(a), _kind(b)]
        known.update(zip(keys, (a, b), strict=True))
        return judge(min(keys), max(keys))

    @cache
    def judge(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
        first, second = known[a], known[b]
        free = free_fields(first, second, compare)
        return not first.protocol.differences(second.protocol, free=free)

    return fits


def _worth(entries: Sequence[Entry], compare: Axis, asked: Asked) -> tuple[int, int, int, str]:
    rows = {row_key(e, compare) for e in entries}
    kinds = {_kind(e): e for e in entries}.values()
    far = max(len(asked.differences(e, free_fields(e, asked, compare))) for e in kinds)
    return -far, len(rows), entries[0].started, entries[0].protocol.hash


def _different(entry: Entry, chosen: Sequence[Entry], anchor: Protocol, compare: Axis) -> Unranked:
    """Against the nearest row of the board, so that the field named is the one that matters."""
    tries = [
        entry.protocol.differences(o.protocol, free=free_fields(entry, o, compare)) for o in chosen
    ] or [entry.protocol.differences(anchor, free=free_fields(entry, entry, compare))]
    fields = min(filter(None, tries), key=lambda f: (len(f), sorted(f)), default={})
    return Unranked(entry, _spelled(fields, "on the board"), fields)


def _unasked(entry: Entry, fields: Mapping[str, tuple[str, str]]) -> Unranked:
    return Unranked(entry, _spelled(fields, "asked for"), fields)


def _spelled(fields: Mapping[str, tuple[str, str]], there: str) -> str:
    listed = [f"{n} is {plain(a)}, {there} {plain(b)}" for n, (a, b) in fields.items()]
    return f"{_some(listed, '; ')}."


def _incomplete(entry: Entry) -> str:
    """In the run's own words; they are not counted, for one may stand for several units."""
    if entry.unreadable:
        return f"cannot be read: {entry.unreadable}"
    return f"incomplete; missing: {_some(entry.missing, '; ') or 'it does not say what'}."


def _one_of_each(
    chosen: Sequence[Entry], compare: Axis, asked: Asked
) -> tuple[list[Entry], list[Unranked]]:
    """For each row the run that is most what was asked, the latest of equals."""
    first: dict[tuple[str, ...], Entry] = {}
    for entry in sorted(chosen, key=asked.departures):
        first.setdefault(row_key(entry, compare), entry)
    shown = list(first.values())
    return [e for e in chosen if e in shown], [
        _passed_over(e, first[row_key(e, compare)]) for e in chosen if e not in shown
    ]


def _passed_over(entry: Entry, other: Entry) -> Unranked:
    fields = entry.protocol.differences(other.protocol, free=("metrics",))
    if fields:  # rows along heads and variants may be of one name and of other settings
        return Unranked(entry, _spelled(fields, "on the board"), fields)
    return Unranked(entry, f"replaced by a later run of the same ({other.run_id[:8]}).")


def _same_samples(entries: Sequence[Entry]) -> tuple[list[Entry], list[Unranked]]:
    """Pairs need the same samples on both sides; most rows decide which."""
    by_ids: dict[frozenset[str], list[Entry]] = {}
    for entry in entries:
        assert entry.predictions is not None
        ids = frozenset(np.asarray(entry.predictions.sample_id).tolist())
        by_ids.setdefault(ids, []).append(entry)
    if len(by_ids) < 2:
        return list(entries), []
    ids, kept = max(by_ids.items(), key=lambda item: (len(item[1]), len(item[0])))
    others = [(e, theirs) for theirs, es in by_ids.items() if theirs != ids for e in es]
    return kept, [
        Unranked(e, f"{len(t)} samples were predicted, on the board {len(ids)}; {_apart(t, ids)}.")
        for e, t in others
    ]


def _apart(mine: frozenset[str], board: frozenset[str]) -> str:
    missing = sorted(board - mine) or sorted(mine - board)
    word = "missing here" if board - mine else "only here"
    return f"{word}: {_some(missing, ', ')}"


def _some(items: Sequence[str], glue: str) -> str:
    more = f"{glue}and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return glue.join(items[:_SHOWN]) + more


def _by_name(unranked: Iterable[Unranked]) -> list[Unranked]:
    return sorted(unranked, key=lambda u: (u.entry.name, u.entry.run_id))
