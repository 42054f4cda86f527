"""What is known already of rows and pairs, so that only what is new is drawn and compared.

A row is known by its content: the digest of its probabilities among rows over the same samples,
groups, folds and labels. So nothing that is kept can be taken for another row's, whatever the runs
are called and wherever they lie; and other code, draws or seeds are another key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from backbench import __version__
from backbench.files.arrays import Arrays, digest
from backbench.files.kept import Kept
from backbench.metrics.drawn import Pairs, Values, draw, spread
from backbench.metrics.evidence import Floats
from backbench.metrics.predictions import Integers, Predictions
from backbench.metrics.table import Metric

MOST = 256
"""Rows kept under one key, unless a board has more."""


@dataclass(frozen=True)
class Drawing:
    """How rows are drawn: the metric, B draws of the groups, the seed of the resampling."""

    metric: Metric
    draws: int
    seed: int


def recall(
    rows: Sequence[Predictions], pairs: Pairs, drawing: Drawing, kept: Kept | None = None
) -> tuple[Values, Floats]:
    """Values of rows, and the spread of pairs of them, computed where `kept` does not hold them.

    Args:
        rows: K of them over the same samples, in the same order of them.
        pairs: of these rows.
        drawing: how they are drawn.
        kept: what was computed before, and where the new is put; without it all is computed.
    """
    names, key = [digest(row.probabilities) for row in rows], _key(rows[0], drawing)
    arrays = kept.read(key) if kept else None
    known = Known.of_arrays(arrays) if arrays else None
    if known is None or known.lacks(names, pairs):
        known = _with_rows(known, dict(zip(names, rows, strict=True)), drawing)
        known = known.compared(names, pairs)
        if kept:
            kept.write(key, known.only(names, at_most=MOST).to_arrays())
    return known.answer(names, pairs)


@dataclass(frozen=True, eq=False)
class Known:
    """K rows and pairs of them.

    Attributes:
        names: of the rows.
        values: of the rows.
        apart: spread of the pairs, negative where a pair was never asked for `[K, K]`.
    """

    names: tuple[str, ...]
    values: Values
    apart: Floats

    @classmethod
    def drawn(cls, rows: Mapping[str, Predictions], drawing: Drawing) -> "Known":
        """Rows that are drawn now, none of them compared."""
        values = draw(list(rows.values()), drawing.metric, drawing.draws, drawing.seed)
        return cls(tuple(rows), values, np.full((len(rows), len(rows)), -1.0))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def _at(self, names: Iterable[str]) -> Integers:
        return np.array([self._place[name] for name in names], dtype=np.int64)

    def _spread_of(self, names: Sequence[str], pairs: Pairs) -> Floats:
        a, b = self._at(names)[pairs].T
        found: Floats = self.apart[a, b]
        return found

    def lacks(self, names: Sequence[str], pairs: Pairs) -> bool:
        """Whether a row, or a pair of these rows, is not known."""
        missing = any(name not in self._place for name in names)
        return missing or bool((self._spread_of(names, pairs) < 0).any())

    def joined(self, more: "Known") -> "Known":
        """With rows that were not among these."""
        apart = np.pad(self.apart, (0, len(more.names)), constant_values=-1)
        return Known(self.names + more.names, self.values.joined(more.values), apart)

    def compared(self, names: Sequence[str], pairs: Pairs) -> "Known":
        """With pairs of these rows."""
        at = np.sort(self._at(names)[pairs], axis=1)
        new = np.unique(at[self._spread_of(names, pairs) < 0], axis=0)
        a, b = new.T
        apart = self.apart.copy()
        apart[a, b] = apart[b, a] = spread(self.values.draws, new)
        return replace(self, apart=apart)

    def only(self, names: Iterable[str], *, at_most: int) -> "Known":
        """These rows, and of the others the latest, where there is room for them."""
        wanted = set(names)
        others = [name for name in self.names if name not in wanted]
        gone = set(others[: max(0, len(self.names) - at_most)])
        stay = [name for name in self.names if name not in gone]
        at = self._at(stay)
        return Known(tuple(stay), self.values.at(at), self.apart[np.ix_(at, at)])

    def answer(self, names: Sequence[str], pairs: Pairs) -> tuple[Values, Floats]:
        """What `recall` was asked for."""
        return self.values.at(self._at(names)), self._spread_of(names, pairs)

    def to_arrays(self) -> Arrays:
        """As `of_arrays` reads it."""
        mine = self.values
        seeds = np.array([len(row) for row in mine.by_seed])
        padded = np.full((len(seeds), seeds.max()), np.nan)
        for line, row in zip(padded, mine.by_seed, strict=True):
            line[: len(row)] = row
        names = np.array([list(bytes.fromhex(name)) for name in self.names], np.uint8)
        values = {"value": mine.value, "by_fold": mine.by_fold, "draws": np.stack(mine.draws)}
        return {"names": names, "seeds": seeds, "by_seed": padded, "apart": self.apart} | values

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "Known":
        """What `to_arrays` gave."""
        by_seed = [row[:n] for row, n in zip(arrays["by_seed"], arrays["seeds"], strict=True)]
        names = tuple(row.tobytes().hex() for row in arrays["names"])
        values = Values(arrays["value"], arrays["by_fold"], by_seed, list(arrays["draws"]))
        return cls(names, values, arrays["apart"])


def _with_rows(known: Known | None, rows: Mapping[str, Predictions], drawing: Drawing) -> Known:
    """With all of these rows, one at least."""
    if known is None:
        return Known.drawn(rows, drawing)
    new = {name: row for name, row in rows.items() if name not in known.names}
    return known.joined(Known.drawn(new, drawing)) if new else known


def _key(row: Predictions, drawing: Drawing) -> str:
    """All that a number depends on but the probabilities of a row."""
    time = row.timeline
    samples = [row.sample_id, row.group, row.fold, row.y_true, np.array(row.classes)]
    samples += [getattr(time, field.name) for field in fields(time)] if time else []
    made_by = {"version": __version__, "code": _code()}
    made_by |= {"numpy": np.__version__, "machine": _machine()}
    drawn = {"metric": drawing.metric.name, "draws": drawing.draws, "seed": drawing.seed}
    return json.dumps(made_by | drawn | {"samples": digest(*samples)})


@cache
def _code() -> str:
    """Of this package: nobody has to remember that a number now comes about in another way."""
    parts = sorted(files("backbench.metrics").iterdir(), key=lambda part: part.name)
    sources = [part.read_bytes() for part in parts if part.name.endswith(".py")]
    return hashlib.sha256(b"".join(sources)).hexdigest()


@cache
def _machine() -> str:
    """The vector units that NumPy uses: the last bit of a product may depend on them."""
    found: Any = np.show_config(mode="dicts")
    return json.dumps(found["SIMD Extensions"].get("found"))
