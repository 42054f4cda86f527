"""Features: extraction, the store, imports and exports, and audits of the vectors.

`extract` computes only what is new or changed; torch loads only when there is something to compute.
"""

from backbench.features.extract import Extraction, UnreadableSamplesError, extract, feature_path
from backbench.features.features import Features
from backbench.features.keys import content_hash, features_key
from backbench.features.options import Options

__all__ = [
    "Extraction",
    "Features",
    "Options",
    "UnreadableSamplesError",
    "content_hash",
    "extract",
    "feature_path",
    "features_key",
]
