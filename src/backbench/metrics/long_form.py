"""The table of predictions: one row a sample and seed, in any order, brought to a rectangle."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import MetricError
from backbench.files.arrays import Arrays

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("sample_id", "group", "fold", "seed", "y_true")
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class LongForm:
    """Columns, and what the table carries beside them: `classes` and `test_to_train`."""

    columns: Arrays
    carried: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "LongForm":
        """From a Parquet file that pandas wrote, without pandas.

        Raises:
            MetricError: it cannot be read as one.
        """
        import pyarrow as pa
        from pyarrow import parquet

        content = pa.BufferReader(path.read_bytes())
        try:
            # The file is small: to start threads for it costs more than to read it.
            table = parquet.ParquetFile(content).read(use_threads=False)
            carried = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
        except (pa.ArrowException, ValueError) as error:
            raise MetricError(f"{path} is no Parquet file of predictions: {error}.") from error
        return cls(_OfTable(table), carried)

    def differs_in_probabilities(self, other: "LongForm") -> bool:
        """Whether that is all in which two files differ, if they do."""
        mine, theirs = self.columns, other.columns
        if not (isinstance(mine, _OfTable) and isinstance(theirs, _OfTable)):
            return False
        alike = self.carried == other.carried and list(mine) == list(theirs)
        return alike and mine.samples.equals(theirs.samples)

    @property
    def test_to_train(self) -> float | None:
        """n_test / n_train of a fold; None where it is not known."""
        return self.carried.get("test_to_train")

    def classes(self, given: Sequence[str] | None) -> tuple[str, ...]:
        """Names of the classes, carried or given.

        Raises:
            MetricError: neither, or they differ.
        """
        carried = self.carried.get("classes")
        names = tuple(carried or () if given is None else given)
        if not names:
            raise MetricError("predictions do not carry their class names; pass classes=[...].")
        if carried is not None and names != tuple(carried):
            raise MetricError(
                f"predictions hold the classes {', '.join(carried)}, asked for were "
                f"{', '.join(names)}."
            )
        return names

    def cells(self, classes: Sequence[str]) -> tuple[tuple[int, ...], Places]:
        """The seeds, sorted, and the row of each seed and sample `[S, N]`.

        Raises:
            MetricError: a column or a cell is missing, empty or repeated, or what belongs to a
                sample differs between seeds.
        """
        _check_columns(self.columns, _probabilities(classes))
        sample, ids = pd.factorize(self.columns["sample_id"])
        seeds, seed = np.unique(self.columns["seed"], return_inverse=True)
        where = _positions(sample, seed, np.asarray(ids), seeds)
        _check_constant(self.columns, where)
        return tuple(int(value) for value in seeds), where

    def first(self, where: Places) -> dict[str, NDArray[Any]]:
        """All columns for the first seed `[N]`."""
        return {name: column[where[0]] for name, column in self.columns.items()}

    def probabilities(self, classes: Sequence[str], where: Places) -> NDArray[np.float32]:
        """float32 `[S, N, C]`."""
        columns = [self.columns[name][where] for name in _probabilities(classes)]
        return np.stack(columns, axis=2).astype(np.float32, copy=False)


class _OfTable(Arrays):
    """Columns of an Arrow table, each brought to NumPy when it is first looked at."""

    def __init__(self, table: "pa.Table") -> None:
        self._table = table
        self._seen: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._seen:
            self._seen[name] = self._table[name].to_numpy()
        return self._seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_columns)

    @property
    def samples(self) -> "pa.Table":
        """All but the probabilities."""
        names = self._table.column_names
        return self._table.select([name for name in names if not name.startswith("p_")])


def _probabilities(classes: Sequence[str]) -> list[str]:
    return [f"p_{code}" for code in range(len(classes))]


def _check_columns(columns: Arrays, probabilities: Sequence[str]) -> None:
    missing = [name for name in (*_KEYS, *probabilities) if name not in columns]
    found = [name for name in columns if name.startswith("p_")]
    if missing or len(found) != len(probabilities):
        raise MetricError(
            f"predictions need the columns {', '.join((*_KEYS, *probabilities))}; found "
            f"{', '.join(columns)}."
        )
    empty = [name for name in _KEYS if pd.isna(columns[name]).any()]
    if empty:
        raise MetricError(f"predictions have rows without {', '.join(empty)}; every row needs one.")


def _positions(
    sample: Places,
    seed: Places,
    ids: NDArray[np.generic],
    seeds: NDArray[np.generic],
) -> Places:
    """Row of the table that holds each seed and sample `[S, N]`."""
    cell = seed * len(ids) + sample
    counts = np.bincount(cell, minlength=len(seeds) * len(ids))
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        at = wrong[0]
        raise MetricError(
            f"predictions: {wrong.size} of {len(counts)} sample x seed cells are not there exactly "
            f"once; the first is sample '{ids[at % len(ids)]}', seed {seeds[at // len(ids)]}: "
            f"{counts[at]} times."
        )
    return np.argsort(cell, kind="stable").reshape(len(seeds), len(ids))


def _check_constant(columns: Arrays, where: Places) -> None:
    for name in ("group", "fold", "y_true"):
        values = columns[name][where]
        differ = np.flatnonzero((values != values[0]).any(axis=0))
        if differ.size:
            example = columns["sample_id"][where[0, differ[0]]]
            raise MetricError(
                f"predictions: '{name}' of {differ.size} samples differs between seeds, such as "
                f"sample '{example}': {', '.join(map(str, values[:, differ[0]]))}."
            )
