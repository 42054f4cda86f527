"""Features: extraction, the store, imports and exports, and audits of the vectors.

`extract` computes only what is new or changed; torch loads only when there is something to compute.
"""

from backbench.features.audit import FeatureAudit, audit, near_duplicates
from backbench.features.exchange import LAYOUTS, Maker, Report, export, import_, verify
from backbench.features.extract import extract, stored
from backbench.features.extraction import Extraction, UnreadableSamplesError, feature_path
from backbench.features.features import Features
from backbench.features.keys import content_hash, features_key
from backbench.features.options import Options
from backbench.features.reading import imported, load

__all__ = [
    "LAYOUTS",
    "Extraction",
    "FeatureAudit",
    "Features",
    "Maker",
    "Options",
    "Report",
    "UnreadableSamplesError",
    "audit",
    "content_hash",
    "export",
    "extract",
    "feature_path",
    "features_key",
    "import_",
    "imported",
    "load",
    "near_duplicates",
    "stored",
    "verify",
]
