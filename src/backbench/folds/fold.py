"""Folds as index arrays over the samples, and the check that no group sits on two sides."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import FoldError, counted

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One test set with what is trained and validated on; row numbers of the samples, sorted.

    Attributes:
        index: its number, from 0.
        name: the held-out group where there is one, else the number.
        train, val, test: int64 row numbers; `val` may be empty.
    """

    index: int
    name: str
    train: Rows
    val: Rows
    test: Rows


@dataclass(frozen=True)
class FoldPlan:
    """All folds of a task over its samples."""

    folds: tuple[Fold, ...]

    def __len__(self) -> int:
        """The number of folds."""
        return len(self.folds)

    @property
    def test_to_train(self) -> float:
        """Test samples over those that learning saw, validation included, mean over folds."""
        seen = [len(fold.train) + len(fold.val) for fold in self.folds]
        return float(np.mean([len(f.test) / n for f, n in zip(self.folds, seen, strict=True)]))

    def select(self, spec: str) -> tuple[Fold, ...]:
        """The folds of `all`, `7`, `0-10` or `3,5` (and mixtures: `0-3,7`).

        Raises:
            FoldError: not of that form, or a fold that is not there.
        """
        wanted = range(len(self)) if spec.strip() == "all" else _numbers(spec)
        outside = [number for number in wanted if number >= len(self)]
        if outside:
            raise FoldError(
                f"fold {outside[0]} does not exist; this task has folds 0 to {len(self) - 1}. "
                "Give 'all', '7', '0-10' or '3,5'."
            )
        return tuple(self.folds[number] for number in sorted(set(wanted)))

    def manifest(self, sample_ids: Sequence[str]) -> pd.DataFrame:
        """One row a sample and fold: `fold, name, sample_id, role` (train, val or test)."""
        ids = np.asarray(sample_ids)
        parts = [
            pd.DataFrame({"fold": f.index, "name": f.name, "sample_id": ids[rows], "role": role})
            for f in self.folds
            for role, rows in (("train", f.train), ("val", f.val), ("test", f.test))
        ]
        return pd.concat(parts, ignore_index=True)

    def fingerprint(self, sample_ids: Sequence[str]) -> str:
        """16 hexadecimal digits over who is where; independent of the order of the samples."""
        table = self.manifest(sample_ids).sort_values(["fold", "role", "sample_id"])
        digest = hashlib.sha256(table.to_csv(index=False).encode())
        return digest.hexdigest()[:16]


def check_disjoint(folds: Sequence[Fold], groups: NDArray[np.str_]) -> None:
    """Refuse folds in which a group sits on two sides.

    Raises:
        FoldError: names the fold, the group and both sides.
    """
    for fold in folds:
        sides = {"train": fold.train, "val": fold.val, "test": fold.test}
        for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
            shared = np.intersect1d(groups[sides[first]], groups[sides[second]])
            if shared.size:
                raise FoldError(
                    f"fold {fold.name}: group '{shared[0]}' is in {first} and in {second} "
                    f"({counted(shared.size, 'such group')}). Keep each group on one side: use "
                    "group_k_fold or leave_one_group_out, or mend the 'split' column."
                )


def _numbers(spec: str) -> list[int]:
    try:
        return [number for part in spec.split(",") for number in _span(part.strip())]
    except ValueError:
        raise FoldError(
            f"fold '{spec}' is not a selection of folds; give 'all', '7', '0-10' or '3,5'."
        ) from None


def _span(part: str) -> range:
    first, dash, last = part.partition("-")
    start, stop = int(first), int(last) if dash else int(first)
    if stop < start:
        raise ValueError(part)
    return range(start, stop + 1)
