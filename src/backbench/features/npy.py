"""Triples of `.npy` files: `X.npy` `[N, D]`, `X_labels.npy` `[N]`, `X_image_ids.npy` `[N]`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import FeatureError
from backbench.files.atomic import replacing

_SHOWN = 5


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
        """Itself, if ids are unique and values finite.

        Args:
            features: where the values come from, for the error.
            names: where the ids come from.

        Raises:
            FeatureError: says which file is wrong and what is wrong with it.
        """
        values, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            some = ", ".join(values[counts > 1][:_SHOWN])
            raise FeatureError(
                f"{names} has {int((counts > 1).sum())} ids more than once: {some}; "
                "an id has to name one picture. Write real ids, not counters that start over."
            )
        bad = ~np.isfinite(self.X).all(axis=1)
        if bad.any():
            raise FeatureError(
                f"{features} has NaN or infinite values in {int(bad.sum())} rows: "
                f"{', '.join(self.ids[bad][:_SHOWN])}; compute these again."
            )
        return self


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
    if X.ndim != 2 or X.dtype.kind != "f":
        raise FeatureError(
            f"{paths[0]} is {X.dtype} of shape {X.shape}; a float matrix [N, D] is needed."
        )
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
