"""The table of samples, checked when it is made."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError, counted
from backbench.samples.series import Series
from backbench.samples.source import NoFiles, PartOf, Source
from backbench.tasks import Expectation

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Samples:
    """Labelled samples and where their pixels are.

    Attributes:
        name: names the folder of feature files, e.g. `digits`.
        frame: one row a sample: `sample_id, label, group, split, path` (all text, `split` may be
            empty) and any further columns (`site`, `age`, ...).
        source: pixels by row number of `frame`.
        series: what is known of each sample over time, where samples are series; then pictures
            are those of the series, and `label` is what samples are balanced by.
        doubts: what was found beside the samples and left out, a clause each.

    Raises:
        SampleError: an empty table, an empty or duplicate id, an empty label or group, or one
            class.
    """

    name: str
    frame: pd.DataFrame
    source: Source
    series: Series | None = None
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check at the door."""
        _check_ids(self.frame)
        _check_labels(self.frame)
        check_filled(self.frame, "group", "name its group, or its own id as one")

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.frame)

    @property
    def ids(self) -> NDArray[np.str_]:
        """Sample ids `[N]`."""
        return self.frame["sample_id"].to_numpy(dtype=str)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their codes: sorted, as numbers where all are numbers."""
        return tuple(sorted(self.frame["label"].unique(), key=_natural))

    @property
    def y(self) -> NDArray[np.int64]:
        """Class codes `[N]`."""
        codes = {name: code for code, name in enumerate(self.classes)}
        return np.array(self.frame["label"].map(codes), dtype=np.int64)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the classes that heads predict: of a sample, or of each step of a series."""
        return self.series.classes if self.series else self.classes

    @property
    def pictures(self) -> "Samples":
        """What features are extracted from: the samples themselves, or the pictures of series."""
        return self.series.pictures if self.series else self

    @property
    def has_files(self) -> bool:
        """Whether there are pixels to read; else features have to be imported."""
        return not isinstance(self.source, NoFiles)

    @property
    def groups(self) -> NDArray[np.str_]:
        """The unit of evidence of each sample `[N]`."""
        return self.frame["group"].to_numpy(dtype=str)

    @property
    def splits(self) -> NDArray[np.str_]:
        """`train`, `val`, `test` or empty `[N]`."""
        return self.frame["split"].to_numpy(dtype=str)

    def column(self, name: str, asked_by: str) -> NDArray[np.str_]:
        """A further column as text `[N]`.

        Raises:
            SampleError: there is no such column; names the field that asked for it.
        """
        if name not in self.frame:
            raise SampleError(
                f"the samples have no column '{name}', which {asked_by} names; "
                f"they have {', '.join(self.frame.columns)}."
            )
        return self.frame[name].to_numpy(dtype=str)

    def check(self, expect: Expectation) -> None:
        """Compare the counts with those of the task.

        Raises:
            SampleError: names the count that differs, with both values.
        """
        found = {
            "samples": len(self),
            "groups": len(np.unique(self.groups)),
            "classes": len(self.outcomes),
            "steps": len(self.series.steps) if self.series else 0,
            "pictures": len(self.pictures),
        }
        for what, count in found.items():
            _compare(what, count, getattr(expect, what))
        for split, wanted in expect.splits.items():
            _compare(f"samples in split '{split}'", int((self.splits == split).sum()), wanted)
        channels = self.series.channels if self.series else {}
        for name, wanted in expect.channels.items():
            width = channels[name].width if name in channels else 0
            _compare(f"values a step of '{name}'", width, wanted)

    def permuted(self, shuffle: int = 1) -> "Samples":
        """The same samples with labels shuffled between them, in one of many ways from 1 on."""
        order = np.random.default_rng(shuffle - 1).permutation(len(self))
        labels = self.frame["label"].to_numpy()[order]
        series = self.series.relabelled(order) if self.series else None
        return replace(self, frame=self.frame.assign(label=labels), series=series)

    def subset(self, rows: NDArray[np.int64]) -> "Samples":
        """Only these rows, in this order."""
        frame = self.frame.iloc[rows].reset_index(drop=True)
        series = self.series.subset(rows) if self.series else None
        source = PartOf(self.source, rows.tolist()) if self.has_files else self.source
        return replace(self, frame=frame, source=source, series=series)

    def fingerprint(self, contents: Mapping[str, str]) -> str:
        """16 hexadecimal digits over id, label, group, split and content hash, in any order.

        Of series also everything that is known at each step.

        Args:
            contents: content hash by id of the pictures.
        """
        columns = ["sample_id", "label", "group", "split"]
        table = self.frame[columns].assign(content=self.frame["sample_id"].map(contents))
        text = table.sort_values("sample_id").to_csv(index=False)
        digest = hashlib.sha256(text.encode())
        if self.series:
            digest.update(self.series.digest(np.argsort(self.ids, kind="stable"), contents))
        return digest.hexdigest()[:16]


def _natural(label: str) -> tuple[int, float, str]:
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    # `nan` reads as a number, but has no place among them.
    return (1, 0.0, label) if math.isnan(number) else (0, number, label)


def _check_ids(frame: pd.DataFrame) -> None:
    if frame.empty:
        raise SampleError("no samples found; check the folder or the manifest.")
    ids = frame["sample_id"]
    if (ids == "").any():
        row = int(np.flatnonzero(ids == "")[0]) + 1
        raise SampleError(f"row {row} has no sample_id; give every sample an id of its own.")
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise SampleError(
            f"sample_id '{repeated.iloc[0]}' occurs more than once ({len(repeated)} repeated ids); "
            "give every sample an id of its own."
        )


def _check_labels(frame: pd.DataFrame) -> None:
    check_filled(frame, "label", "label it or leave it out")
    if frame["label"].nunique() < 2:
        raise SampleError(
            f"all {len(frame)} samples have the label '{frame['label'].iloc[0]}'; "
            "two classes or more are needed."
        )


def check_filled(frame: pd.DataFrame, column: str, cure: str) -> None:
    """Refuse samples without a value in a column.

    Raises:
        SampleError: says how many, and the first.
    """
    empty = frame.loc[frame[column] == "", "sample_id"]
    if len(empty):
        raise SampleError(
            f"{counted(len(empty), 'sample')} without {column}, first '{empty.iloc[0]}'; {cure}."
        )


def check_splits(frame: pd.DataFrame) -> None:
    """Check the column `split`, where folds are made of it.

    Raises:
        SampleError: an unknown split, or a group in two of them.
    """
    other = sorted(set(frame["split"]) - {*SPLITS, ""})
    if other:
        raise SampleError(f"split '{other[0]}' is unknown; allowed are train, val, test and empty.")
    placed = frame[frame["split"] != ""]
    sides = placed.groupby("group")["split"].nunique()
    torn = sides[sides > 1]
    if len(torn):
        name = torn.index[0]
        where = " and ".join(sorted(placed.loc[placed["group"] == name, "split"].unique()))
        raise SampleError(
            f"group '{name}' is in {where} ({counted(len(torn), 'such group')}); mend the column "
            "'split', or take a folds.scheme that ignores it, such as group_k_fold."
        )


def _compare(what: str, found: int, wanted: int | None) -> None:
    if wanted is not None and wanted != found:
        raise SampleError(
            f"found {found} {what}, the task expects {wanted}; "
            "mend the data, or change [expect] in the task file and raise its version."
        )
