"""Rows that another run has computed already: same vector space, same id, same content."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from backbench.features import store
from backbench.features.features import matrix
from backbench.features.options import Options
from backbench.features.shards import Index, ShardedFile
from backbench.features.stock import NO_STAT, hash_contents, stat_of
from backbench.samples import Samples

_ROWS = 4096


def adopt(
    file: ShardedFile, other: Path, samples: Samples, pending: list[int], options: Options
) -> int:
    """Copy the rows of `other` that fit pending samples into shards of `file`.

    Where fp32 is asked for, only those that were computed without short cuts.

    Returns:
        the number of rows copied.

    Raises:
        FeatureError: `other` is damaged or belongs to another vector space.
        OSError: `other` is gone, or goes while it is read.
    """
    header = replace(store.read_header(other)[0], dtype=options.dtype)
    theirs = ShardedFile(other, file.identity_key).index()
    rows = _fitting(theirs, samples, pending, exact=options.precision == "fp32")
    if rows.empty:
        return 0
    for start in range(0, len(rows), _ROWS):
        some = rows.iloc[start : start + _ROWS]
        for code, part in some.groupby("session"):
            X = matrix(theirs, part, header.dim, header.dtype, file.path.parent)
            table = part[[name for name in store.COLUMNS if name != "session"]]
            file.add(header, theirs.sessions[int(str(code))], table.reset_index(drop=True), X)
    return len(rows)


def _fitting(theirs: Index, samples: Samples, pending: list[int], *, exact: bool) -> pd.DataFrame:
    """Their rows with the id and the content of ours, with the stat of our files."""
    place = theirs.place(samples.ids[pending])
    if exact and len(theirs.rows):
        place[(place >= 0) & ~theirs.exact[place]] = -1
    asked = [row for row, at in zip(pending, place, strict=True) if at >= 0]
    rows = theirs.rows.iloc[place[place >= 0]]
    hashes = hash_contents(samples, asked)
    same = rows["content_sha256"].to_numpy(object) == np.array(hashes, dtype=object)
    stats = [stat_of(samples, row) or NO_STAT for row in asked]  # theirs are of another machine
    sizes, times = np.array(stats, np.int64).reshape(-1, 2).T
    ours: pd.DataFrame = rows.assign(size=sizes, mtime_ns=times)
    return ours.iloc[np.flatnonzero(same)]
