"""The nested layout: one HDF5 file with `/{a}/{b}/{c}` -> vector `(D,)`, sample id `a/b/c`."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from backbench.errors import FeatureError, some
from backbench.features import hdf5
from backbench.features.npy import Triple


def read_vectors(path: Path) -> Triple:
    """Read and check a nested file; it has no labels, so all are empty text.

    Raises:
        FeatureError: no such file, no vectors, unequal shapes, no numbers, NaN or infinite values.
    """
    if not path.is_file():
        raise FeatureError(f"{path} is not there; give the path of a nested HDF5 file.")
    found = hdf5.read_nested(path)
    if not found:
        raise FeatureError(f"{path} holds no vectors; expected datasets like /plant/round/view.")
    shapes = {np.shape(row) for _, row in found}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        odd = some(str(shape) for shape in sorted(shapes))
        raise FeatureError(f"{path} holds vectors of the shapes {odd}; all have to be (D,).")
    ids = np.array([name for name, _ in found], dtype=str)
    triple = Triple(np.stack([row for _, row in found]), np.full(len(ids), ""), ids)
    return triple.checked(str(path), str(path))


def check_paths(ids: Sequence[str]) -> None:
    """Whether a nested file can have these ids: HDF5 shortens `a//b`, and no vector is a folder.

    Raises:
        FeatureError: names those that it cannot have.
    """
    folders = {each for name in ids for each in accumulate(name.split("/")[:-1], "{}/{}".format)}
    bad = [name for name in ids if name in folders or {"", "."} & {*name.split("/")}]
    if bad:
        raise FeatureError(
            f"{len(bad)} ids cannot be paths in an HDF5 file, or are folders of others: "
            f"{some(bad)}; export these with --layout npy."
        )
