"""One key for a set of vectors: the space they live in and the samples they were made from."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

_DIGITS = 16


def content_hash(content: bytes) -> str:
    """SHA-256 of a sample's content, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def features_key(identity_key: str, contents: Iterable[tuple[str, str]]) -> str:
    """16 hexadecimal digits over the identity key and (sample id, content), in any order.

    A content is a hash, followed by the short cuts that were taken: see `contents_of`. Ids are
    written with their length, so that no two different sets spell the same text.
    """
    digest = hashlib.sha256(identity_key.encode())
    for sample_id, sha in sorted(contents):
        digest.update(f"\n{len(sample_id)}:{sample_id}:{sha}".encode())
    return digest.hexdigest()[:_DIGITS]


def short_cuts(session: Mapping[str, Any]) -> str:
    """What was not as in the reference (fp32, pictures decoded in full); empty for the reference.

    `bf16`, or `/224` for JPEGs decoded at a reduced scale down to 224 pixels, or both.
    """
    side = session.get("min_side")
    return ("bf16" if session.get("precision") == "bf16" else "") + (f"/{side}" if side else "")


def contents_of(rows: pd.DataFrame, sessions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Id and content of rows that `sessions` computed, as `features_key` takes them.

    Vectors of one sample that were computed in different precision are different vectors.
    """
    ways = np.array([short_cuts(session) for session in sessions], dtype=object)
    contents = rows["content_sha256"].to_numpy(object) + ways[rows["session"].to_numpy(np.int64)]
    return list(zip(rows["sample_id"].tolist(), contents.tolist(), strict=True))
