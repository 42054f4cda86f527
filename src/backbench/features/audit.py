"""What is suspicious about features, before anybody trains on them.

Over a matrix, in blocks of rows, so that memory stays bounded however many rows there are and
however they are stored.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.features.progress import Meter

if TYPE_CHECKING:
    from rich.console import Console

_BLOCK_BYTES = 64 << 20
_PAIR_ROWS = 2048
_MOST_PAIRS = 10_000
_MANY, _NARROW = 0.01, 0.99
"""Share of all pairs that are close, and mean cosine, beyond which closeness tells no copies."""
_LOOKED_UP = 1 << 20
"""Close pairs that are gathered before the folds are gone through."""

Rows = NDArray[np.int64]
Close = tuple[Rows, NDArray[np.float64]]
"""Pairs `[P, 2]`, the earlier row first, and their cosines `[P]`."""


@dataclass(frozen=True)
class FeatureAudit:
    """Findings over a matrix `[N, D]`.

    Attributes:
        rows, dim: N and D.
        not_finite: sample ids of rows with NaN or infinity.
        constant_columns: columns with one value in all finite rows.
        duplicates: `first, second`: ids of rows with equal values, each later one against the
            first of its kind.
    """

    rows: int
    dim: int
    not_finite: tuple[str, ...]
    constant_columns: int
    duplicates: pd.DataFrame


def audit(X: NDArray[Any], ids: Sequence[str] | NDArray[np.str_]) -> FeatureAudit:
    """Look for rows that are not finite, columns that are constant and rows that repeat.

    Args:
        X: features `[N, D]`, any float type, memory-mapped or not.
        ids: sample ids `[N]`.
    """
    names = np.asarray(ids)
    low = np.full(X.shape[1], np.inf)
    high = np.full(X.shape[1], -np.inf)
    broken: list[str] = []
    seen: dict[bytes, int] = {}
    pairs: list[tuple[str, str]] = []
    for start, block in _blocks(X):
        finite = np.isfinite(block).all(axis=1)
        broken += names[start : start + len(block)][~finite].tolist()
        if finite.any():
            low = np.minimum(low, block[finite].min(axis=0))
            high = np.maximum(high, block[finite].max(axis=0))
        for row in range(len(block)):
            first = seen.setdefault(_digest(block[row]), start + row)
            if first != start + row:
                pairs.append((str(names[first]), str(names[start + row])))
    return FeatureAudit(
        rows=len(X),
        dim=X.shape[1],
        not_finite=tuple(broken),
        constant_columns=int((low >= high).sum()) if len(X) else 0,
        duplicates=pd.DataFrame(pairs, columns=["first", "second"]),
    )


def near_duplicates(
    X: NDArray[Any],
    ids: Sequence[str] | NDArray[np.str_],
    sides: Iterable[tuple[Rows, Rows]],
    *,
    groups: Sequence[str] | NDArray[np.str_] | None = None,
    threshold: float = 0.999,
    most: int = _MOST_PAIRS,
    console: "Console | None" = None,
) -> pd.DataFrame:
    """Pairs of nearly equal features of which one is trained on while the other is tested on.

    All N (N - 1) / 2 pairs of rows are compared once, in blocks, none is left out; where that takes
    more than two seconds, progress is shown, and how many were compared is said. A pair above the
    threshold is then looked up in all folds, so that the cost hardly grows with their number.

    Args:
        X: features `[N, D]`.
        ids: sample ids `[N]`.
        sides: rows trained (or validated) on and rows tested on, one pair a fold; gone through
            again for each million of close pairs.
        groups: group of each sample `[N]`; pairs of one group come with `same_group` True.
        threshold: least cosine of a pair.
        most: pairs to list, the closest first.
        console: where progress goes (default: standard error).

    Returns:
        `first, second, cosine, folds, same_group`, the closest first; `folds` counts those in
        which the pair is on both sides. `attrs["total"]` counts all such pairs, listed or not;
        `attrs["narrow"]`: they are many because the features of all samples are nearly parallel.
    """
    found = _Closest.none()
    title, count = f"near-duplicates, pairs of {len(X):,} rows", len(X) * (len(X) - 1) // 2
    with Meter(title, count, console) as meter:
        for pairs, cosines in _gathered(_close_pairs(X, threshold, meter)):
            found = found.joined(pairs, cosines, _torn(pairs, sides, len(X)), most)
    names, first, second = np.asarray(ids), found.pairs[:, 0], found.pairs[:, 1]
    same = np.zeros(len(first), bool)
    if groups is not None:
        same = np.asarray(np.asarray(groups)[first] == np.asarray(groups)[second])
    table = pd.DataFrame({"first": names[first], "second": names[second]}).assign(
        cosine=found.cosines, folds=found.folds, same_group=same
    )
    narrow = found.total > _MANY * count and _mean_cosine(X) > _NARROW
    table.attrs |= {"total": found.total, "narrow": narrow}
    return table


def _mean_cosine(X: NDArray[Any]) -> float:
    """Of all pairs of rows, from the length of the sum of all: no pair is gone through."""
    total = np.zeros(X.shape[1])
    for _, block in _blocks(X):
        total += _unit(block).sum(axis=0, dtype=np.float64)
    return float((total @ total - len(X)) / max(len(X) * (len(X) - 1), 1))


@dataclass(frozen=True)
class _Closest:
    """The closest pairs so far `[P, 2]`, and how many there were in all."""

    pairs: Rows
    cosines: NDArray[np.float64]
    folds: Rows
    total: int

    @classmethod
    def none(cls) -> "_Closest":
        return cls(np.empty((0, 2), np.int64), np.empty(0), np.empty(0, np.int64), 0)

    def joined(
        self, pairs: Rows, cosines: NDArray[np.float64], folds: Rows, most: int
    ) -> "_Closest":
        torn = folds > 0
        all_cosines = np.concatenate([self.cosines, cosines[torn]])
        best = np.argsort(-all_cosines, kind="stable")[:most]
        return _Closest(
            np.concatenate([self.pairs, pairs[torn]])[best],
            all_cosines[best],
            np.concatenate([self.folds, folds[torn]])[best],
            self.total + int(torn.sum()),
        )


def _close_pairs(X: NDArray[Any], threshold: float, meter: Meter) -> Iterator[Close]:
    """Pairs with cosine >= threshold, of one pair of blocks after the other."""
    step = max(1, min(_PAIR_ROWS, _BLOCK_BYTES // (4 * X.shape[1])))
    for start in range(0, len(X), step):
        rows = _unit(X[start : start + step])
        for other in range(start, len(X), step):
            products = rows @ _unit(X[other : other + step]).T
            # Over one axis: ten times as fast as `nonzero` of a matrix.
            a, b = np.divmod(np.flatnonzero(products >= threshold), products.shape[1])
            later = other + b > start + a
            a, b = a[later], b[later]
            pairs = np.column_stack([start + a, other + b]).astype(np.int64)
            yield pairs, products[a, b].astype(np.float64).clip(max=1.0)
            within = len(rows) * (len(rows) - 1) // 2
            meter.advance(within if other == start else products.size)


def _gathered(parts: Iterable[Close]) -> Iterator[Close]:
    """The same in fewer, larger parts, none of them empty."""
    kept: list[Close] = []
    for part in parts:
        kept += [part] if len(part[0]) else []
        if sum(len(pairs) for pairs, _ in kept) >= _LOOKED_UP:
            yield _together(kept)
            kept = []
    if kept:
        yield _together(kept)


def _together(parts: Sequence[Close]) -> Close:
    pairs, cosines = zip(*parts, strict=True)
    return np.concatenate(pairs), np.concatenate(cosines)


def _torn(pairs: Rows, sides: Iterable[tuple[Rows, Rows]], count: int) -> Rows:
    """In how many folds each pair has one row in training and the other in the test `[P]`."""
    torn = np.zeros(len(pairs), np.int64)
    side = np.empty(count, np.int8)  # 1 where a row is trained on, 2 where it is tested on
    for train, test in sides:
        side[:] = 0
        side[train], side[test] = 1, 2
        torn += side[pairs[:, 0]] * side[pairs[:, 1]] == 2
    return torn


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows of length one; rows of zeros or NaN become zeros and are close to nothing."""
    plain = np.nan_to_num(rows.astype(np.float32), posinf=0, neginf=0)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    return (plain / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def _blocks(X: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _BLOCK_BYTES // max(1, X.shape[1] * X.dtype.itemsize))
    for start in range(0, len(X), step):
        yield start, np.asarray(X[start : start + step])


def _digest(row: NDArray[Any]) -> bytes:
    # Adding zero makes -0.0 and 0.0, which are equal, one spelling.
    return hashlib.blake2b((row + 0).tobytes(), digest_size=16).digest()
