"""Triples of `.npy` files: `X.npy` `[N, D]`, `X_labels.npy` `[N]`, `X_image_ids.npy` `[N]`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import FeatureError, some
from backbench.files.atomic import replacing

STORED = "float32"
"""The dtype that features of any are taken over in."""


@dataclass(frozen=True)
class Triple:
    """Features `[N, D]`, labels `[N]` and sample ids `[N]`."""

    X: NDArray[Any]
    labels: NDArray[Any]
    ids: NDArray[np.str_]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over ids and features, in any order of the rows."""
        digest = hashlib.sha256()
        for row in np.argsort(self.ids, kind="stable"):
            digest.update(f"{self.ids[row]}\n".encode() + self.X[row].tobytes())
        return digest.hexdigest()[:16]

    def checked(self, features: str, names: str) -> "Triple":
        """Itself as it is stored, if it is a matrix of finite values with an id for each row.

        Args:
            features: where the values come from, for the error.
            names: where the ids come from.

        Raises:
            FeatureError: says which file is wrong and what is wrong with it.
        """
        if self.X.ndim != 2 or self.X.dtype.kind != "f":
            raise FeatureError(
                f"{features} is {self.X.dtype} of shape {self.X.shape}; a float matrix [N, D] is "
                "needed."
            )
        values, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise FeatureError(
                f"{names} has {int((counts > 1).sum())} ids more than once: "
                f"{some(values[counts > 1])}; "
                "an id has to name one picture. Write real ids, not counters that start over."
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite then, and refused
            stored = replace(self, X=self.X.astype(STORED, copy=False))
        bad = ~np.isfinite(stored.X).all(axis=1)
        if bad.any():
            raise FeatureError(
                f"{features} has NaN or infinite values as {STORED} in {int(bad.sum())} rows: "
                f"{some(self.ids[bad])}; compute these again."
            )
        return stored

    def check_samples(self, labels: Mapping[str, str], name: str, names: str) -> None:
        """Whether these can be features of a sample set.

        Args:
            labels: of the set, by sample id.
            name: of the set.
            names: where ids and labels come from.

        Raises:
            FeatureError: no id is one of the set, or a label in the set's own words contradicts it.
        """
        told = dict(zip(self.ids.tolist(), self.labels.astype(str).tolist(), strict=True))
        shared = [each for each in told if each in labels]
        if not shared:
            raise FeatureError(
                f"{names} names no sample of {name}: {some(told)}, where {name} "
                f"has {some(labels)}; write the ids of the task's samples."
            )
        odd = [each for each in shared if told[each] != labels[each]]
        if odd and set(told.values()) <= set(labels.values()):
            raise FeatureError(
                f"{len(odd)} samples of {names} have another label than in {name}: {odd[0]} "
                f"({told[odd[0]]!r}, in the task {labels[odd[0]]!r}); put ids and labels right."
            )


def triple_paths(path: Path) -> tuple[Path, Path, Path]:
    """`X.npy`, `X_labels.npy` and `X_image_ids.npy` from the first of them."""
    stem = path.name.removesuffix(".npy")
    return (
        path.with_name(f"{stem}.npy"),
        path.with_name(f"{stem}_labels.npy"),
        path.with_name(f"{stem}_image_ids.npy"),
    )


def read_triple(path: Path) -> Triple:
    """Read and check the three files that belong to `X.npy`.

    Raises:
        FeatureError: a file is missing or not `.npy`, lengths differ, ids repeat, a value is NaN
            or infinite.
    """
    paths = triple_paths(path)
    X, labels, ids = (_load(each) for each in paths)
    lengths = {each.name: len(array) for each, array in zip(paths, (X, labels, ids), strict=True)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise FeatureError(f"the files of {path} have different lengths: {told}; all must agree.")
    return Triple(X, labels, ids.astype(str)).checked(str(paths[0]), str(paths[2]))


def write_triple(path: Path, triple: Triple) -> list[Path]:
    """Write the three files, each atomically, the matrix last.

    Raises:
        StorageError: the disk is full.
    """
    paths = triple_paths(path)
    arrays = (triple.X, triple.labels, triple.ids)
    for each, array in reversed(list(zip(paths, arrays, strict=True))):
        with replacing(each) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return list(paths)


def _load(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise FeatureError(
            f"{path} is not there; X.npy, X_labels.npy and X_image_ids.npy belong together."
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise FeatureError(
            f"{path} is not a plain .npy array ({error}); object arrays are not read."
        ) from error
    return array
