"""Open a feature file for a sample set by id alone: imported files, files from elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import FeatureError, some
from backbench.features import store
from backbench.features.features import Features, matrix, no_errors
from backbench.features.keys import contents_of, features_key
from backbench.features.provenance import IMPORTED
from backbench.features.shards import Index, ShardedFile
from backbench.files.home import features_folder
from backbench.samples import Samples


def imported(
    samples: Samples, backbone: str, checkpoint: str, *, max_error_fraction: float = 0.0
) -> Features | None:
    """The features that were imported last for a backbone and a sample set, None without any.

    Raises:
        FeatureError: the file is damaged, or lacks more samples than allowed.
    """
    found = []
    for path in (features_folder() / samples.name).glob("*.h5"):
        identity = store.read_header(path)[0].identity
        named = (identity["backbone"], identity["checkpoint"]) == (backbone, checkpoint)
        if named and identity["representation"].get("library") == IMPORTED:
            found.append(path)
    if not found:
        return None
    newest = max(found, key=lambda path: path.stat().st_mtime_ns)
    return load(newest, samples, max_error_fraction=max_error_fraction)


def load(path: Path, samples: Samples, *, max_error_fraction: float = 0.0) -> Features:
    """The features of `samples` in the file `path`, matched by sample id.

    Contents are not compared: an imported file knows no content hashes. `extract` does compare.

    Args:
        path: of the feature file.
        samples: what is asked for.
        max_error_fraction: share of the samples that the file may lack; `errors` lists them.

    Raises:
        FeatureError: the file is missing or damaged, or lacks too many samples.
    """
    if not path.is_file():
        raise FeatureError(f"{path} is not there; give the path of a feature file.")
    attributes = store.read_attributes(path)
    file = ShardedFile(path, str(attributes["identity_key"]))
    errors = _lacking(file.index(), path, samples, max_error_fraction)
    ids = samples.ids[~np.isin(samples.ids, errors["sample_id"].to_numpy(dtype=str))]

    def read(index: Index) -> tuple[NDArray[Any], pd.DataFrame, str]:
        rows = index.rows.iloc[index.place(ids)]
        dim, dtype = int(attributes["dim"]), str(attributes["dtype"])
        key = features_key(file.identity_key, contents_of(rows, index.sessions))
        return matrix(index, rows, dim, dtype, path.parent), rows, key

    X, rows, key = file.steadily(read)
    return Features(
        path=path,
        key=key,
        identity_key=file.identity_key,
        ids=ids,
        X=X,
        contents=rows["content_sha256"].to_numpy(dtype=str),
        provenance=attributes,
        errors=errors,
        computed=0,
        reused=len(ids),
    )


def _lacking(index: Index, path: Path, samples: Samples, allowed: float) -> pd.DataFrame:
    """Samples that the file does not hold, as unreadable ones are listed."""
    missing = samples.ids[~np.isin(samples.ids, index.rows["sample_id"].to_numpy(dtype=str))]
    if len(missing) == len(samples) or len(missing) > allowed * len(samples):
        raise FeatureError(
            f"{path} lacks {len(missing)} of {len(samples)} samples of {samples.name}: "
            f"{some(missing)}; ids have to be equal in both. Import all of them, or "
            f"allow a share to be missing with max_error_fraction (now {allowed:g})."
        )
    if not len(missing):
        return no_errors()
    reason = f"not in {path.name}"
    return pd.DataFrame({"sample_id": missing, "path": "", "error": reason}).astype(object)
