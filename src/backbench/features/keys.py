"""One key for a set of vectors: the space they live in and the samples they were made from."""

import hashlib
from collections.abc import Iterable

_DIGITS = 16


def content_hash(content: bytes) -> str:
    """SHA-256 of a sample's content, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def features_key(identity_key: str, contents: Iterable[tuple[str, str]]) -> str:
    """16 hexadecimal digits over the identity key and (sample id, content hash), in any order.

    Ids are written with their length, so that no two different sets spell the same text.
    """
    digest = hashlib.sha256(identity_key.encode())
    for sample_id, sha in sorted(contents):
        digest.update(f"\n{len(sample_id)}:{sample_id}:{sha}".encode())
    return digest.hexdigest()[:_DIGITS]
