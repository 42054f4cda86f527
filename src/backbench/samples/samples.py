"""The table of samples, checked when it is made."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError
from backbench.samples.source import PartOf, Source
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

    Raises:
        SampleError: an empty table, an empty or duplicate id, an empty label, one class, an
            unknown split, or a group in two splits.
    """

    name: str
    frame: pd.DataFrame
    source: Source

    def __post_init__(self) -> None:
        """Check at the door."""
        _check_ids(self.frame)
        _check_labels(self.frame)
        _check_splits(self.frame)

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
    def groups(self) -> NDArray[np.str_]:
        """The unit of evidence of each sample `[N]`."""
        return self.frame["group"].to_numpy(dtype=str)

    @property
    def splits(self) -> NDArray[np.str_]:
        """`train`, `val`, `test` or empty `[N]`."""
        return self.frame["split"].to_numpy(dtype=str)

    def check(self, expect: Expectation) -> None:
        """Compare the counts with those of the task.

        Raises:
            SampleError: names the count that differs, with both values.
        """
        found = {
            "samples": len(self),
            "groups": len(np.unique(self.groups)),
            "classes": len(self.classes),
        }
        for what, count in found.items():
            wanted = getattr(expect, what)
            if wanted is not None and wanted != count:
                raise _unexpected(what, count, wanted)
        for split, wanted in expect.splits.items():
            count = int((self.splits == split).sum())
            if wanted != count:
                raise _unexpected(f"samples in split '{split}'", count, wanted)

    def permuted(self, seed: int = 0) -> "Samples":
        """The same samples with labels shuffled between them: the leakage self-test."""
        order = np.random.default_rng(seed).permutation(len(self))
        labels = self.frame["label"].to_numpy()[order]
        return replace(self, frame=self.frame.assign(label=labels))

    def subset(self, rows: NDArray[np.int64]) -> "Samples":
        """Only these rows, in this order."""
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return replace(self, frame=frame, source=PartOf(self.source, rows.tolist()))

    def fingerprint(self, contents: Mapping[str, str]) -> str:
        """16 hexadecimal digits over id, label, group, split and content hash, in any order.

        Args:
            contents: content hash by sample id.
        """
        columns = ["sample_id", "label", "group", "split"]
        table = self.frame[columns].assign(content=self.frame["sample_id"].map(contents))
        text = table.sort_values("sample_id").to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _natural(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


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
    unlabelled = frame.loc[frame["label"] == "", "sample_id"]
    if len(unlabelled):
        raise SampleError(
            f"{len(unlabelled)} samples have no label, the first is '{unlabelled.iloc[0]}'; "
            "label them or leave them out."
        )
    if frame["label"].nunique() < 2:
        raise SampleError(
            f"all {len(frame)} samples have the label '{frame['label'].iloc[0]}'; "
            "two classes or more are needed."
        )


def _check_splits(frame: pd.DataFrame) -> None:
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
            f"group '{name}' is in {where} ({len(torn)} such groups); "
            "a group has to be in one split only."
        )


def _unexpected(what: str, found: int, wanted: int) -> SampleError:
    return SampleError(
        f"found {found} {what}, the task expects {wanted}; "
        "mend the data, or change [expect] in the task file and raise its version."
    )
