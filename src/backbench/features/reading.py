"""Open a feature file for a sample set by id alone: imported files, files from elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import FeatureError
from backbench.features import store
from backbench.features.features import Features, matrix, no_errors
from backbench.features.keys import features_key
from backbench.features.shards import Index, ShardedFile
from backbench.samples import Samples

_SHOWN = 5


def load(path: Path, samples: Samples) -> Features:
    """The features of `samples` in the file `path`, matched by sample id.

    Contents are not compared: an imported file knows no content hashes. `extract` does compare.

    Raises:
        FeatureError: the file is missing or damaged, or lacks samples.
    """
    if not path.is_file():
        raise FeatureError(f"{path} is not there; give the path of a feature file.")
    attributes = store.read_attributes(path)
    file = ShardedFile(path, str(attributes["identity_key"]))
    rows = _rows(file.index(), path, samples)
    contents = rows["content_sha256"].to_numpy(dtype=str)

    def read(index: Index) -> NDArray[Any]:
        place = _rows(index, path, samples)
        return matrix(index, place, int(attributes["dim"]), str(attributes["dtype"]), path.parent)

    pairs = zip(samples.ids.tolist(), contents.tolist(), strict=True)
    return Features(
        path=path,
        key=features_key(file.identity_key, pairs),
        identity_key=file.identity_key,
        ids=samples.ids,
        X=file.steadily(read),
        contents=contents,
        provenance=attributes,
        errors=no_errors(),
        computed=0,
        reused=len(samples),
    )


def _rows(index: Index, path: Path, samples: Samples) -> pd.DataFrame:
    ids = samples.ids
    place = pd.Index(index.rows["sample_id"], dtype=object).get_indexer(pd.Index(ids, dtype=object))
    missing = ids[np.flatnonzero(place < 0)]
    if len(missing):
        raise FeatureError(
            f"{path} lacks {len(missing)} of {len(ids)} samples of {samples.name}: "
            f"{', '.join(missing[:_SHOWN])}; ids have to be equal in both."
        )
    rows: pd.DataFrame = index.rows.iloc[place]
    return rows
