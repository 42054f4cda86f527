"""Feature files checked, and exchanged with the layouts that people already have.

Two layouts are read and written:

- `npy`: three files `X.npy` `[N, D]`, `X_labels.npy` `[N]`, `X_image_ids.npy` `[N]`;
- `nested`: one HDF5 file with `/{a}/{b}/{c}` -> float32 `(D,)`, sample id `a/b/c`.

Neither says which network made the vectors, so an import has to be told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.backbones import Identity, spelled
from backbench.errors import FeatureError, counted, some, unknown
from backbench.features import hdf5, provenance, store
from backbench.features.extraction import feature_path
from backbench.features.keys import contents_of, features_key
from backbench.features.nested import check_paths, read_vectors
from backbench.features.npy import STORED, Triple, read_triple, triple_paths, write_triple
from backbench.features.shards import ShardedFile, gather

LAYOUTS = ("npy", "nested")


@dataclass(frozen=True)
class Report:
    """What `verify` saw.

    Attributes:
        path: of the file.
        rows, dim: N and D.
        shards: finished shards that wait beside the file.
        attributes: provenance.
        problems: one line each; empty where all is well.
    """

    path: Path
    rows: int
    dim: int
    shards: int
    attributes: Mapping[str, Any]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True where there is no problem."""
        return not self.problems


@dataclass(frozen=True)
class Maker:
    """Who made the vectors that are imported.

    Attributes:
        backbone, checkpoint: names.
        weights: SHA-256 of the weights, or `unknown`.
        representation, transform: what else is known; see `Identity`.
        licence: of the weights.
    """

    backbone: str
    checkpoint: str
    weights: str = "unknown"
    representation: Mapping[str, Any] = field(default_factory=dict)
    transform: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unknown"

    def __post_init__(self) -> None:
        for name in ("backbone", "checkpoint"):
            if not getattr(self, name).strip():
                raise FeatureError(
                    f"the {name} of imported features is empty; these files do not say who made "
                    f"them, so name it with --{name}."
                )


def verify(path: Path) -> Report:
    """Read every chunk of a feature file (checksums), and check values, ids, counts and key.

    Raises:
        FeatureError: the file is missing, empty, foreign, truncated or damaged.
    """
    if not path.is_file():
        raise FeatureError(f"{path} is not there; run extract, or give the path of a feature file.")
    attributes, table = store.read_attributes(path), store.read_table(path)
    identity_key = str(attributes["identity_key"])
    key = features_key(identity_key, contents_of(table, store.read_header(path)[1]))
    bad, rows = _not_finite(path, table)
    problems = [
        *_listed("samples have NaN or infinite features", bad),
        *_listed("ids occur twice", table.loc[table["sample_id"].duplicated(), "sample_id"]),
    ]
    if rows != len(table):
        problems.append(f"{len(table)} ids for {rows} feature rows")
    if key != attributes.get("key", key):
        problems.append(f"its key says {attributes['key']}, its rows make {key}")
    if Identity.from_dict(attributes["identity"]).key != identity_key:
        problems.append(f"its identity does not make its identity key {identity_key}")
    shards = len(ShardedFile(path, identity_key).parts())
    return Report(path, rows, int(attributes["dim"]), shards, attributes, tuple(problems))


def export(
    path: Path, to: Path, layout: str, *, labels: Mapping[str, object] | None = None
) -> list[Path]:
    """Write a feature file in another layout.

    Args:
        path: of the feature file.
        to: `npy`: the file `X.npy`, whose name starts the others' names; `nested`: an HDF5 file.
        layout: `npy` or `nested`.
        labels: label by sample id, for `npy`; without it all labels are empty text.

    Returns:
        the files written.

    Raises:
        FeatureError: an unknown layout, a damaged file, a sample without a label, ids that are no
            paths in an HDF5 file.
        StorageError: the disk is full.
    """
    _check_layout(layout)
    header, _ = store.read_header(path)
    index = ShardedFile(path, header.identity_key).index()
    ids = index.rows["sample_id"].to_numpy(dtype=str)
    if layout == "nested":
        check_paths(ids.tolist())
    X = np.empty((len(index.rows), header.dim), header.dtype)
    gather(index, index.rows, X)
    if layout == "nested":
        hdf5.write_nested(to, zip(ids.tolist(), X, strict=True))
        return [to]
    return write_triple(to, Triple(X, _labels(ids, labels), ids))


def import_(
    source: Path,
    layout: str,
    *,
    samples: str,
    maker: Maker,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Take features in another layout into a feature file of the sample set `samples`.

    Args:
        source: `npy`: the file `X.npy`; `nested`: an HDF5 file.
        layout: `npy` or `nested`.
        samples: name of the sample set.
        maker: who made the vectors, which the originals do not say.
        labels: of the sample set, by id, where they are known.

    Returns:
        the feature file, in float32. Its rows carry no content hash, so `extract` never takes them
        for its own; `imported` finds and opens the newest of a backbone. The digest of the vectors
        is part of what they are, so other vectors are never taken for these.

    Raises:
        FeatureError: an unknown layout, unequal lengths, repeated ids, NaN or infinite values,
            no id or other labels of the sample set, or vectors that were imported under another
            name; the line says which file.
    """
    _check_layout(layout)
    triple = read_triple(source) if layout == "npy" else read_vectors(source)
    if labels is not None:
        names = triple_paths(source)[2] if layout == "npy" else source
        triple.check_samples(labels, samples, str(names))
    dim = triple.X.shape[1]
    representation = {
        **maker.representation,
        "library": provenance.IMPORTED,
        "vectors": triple.digest,
        "dim": dim,
    }
    identity = Identity(
        maker.backbone, maker.checkpoint, maker.weights, representation, dict(maker.transform)
    )
    table = pd.DataFrame({"sample_id": triple.ids}).assign(content_sha256="", size=-1, mtime_ns=-1)
    header = store.Header(identity.to_dict(), identity.key, dim, STORED, -1, maker.licence)
    session = provenance.begin_session(
        precision=provenance.IMPORTED, min_side=0, source=source.name, layout=layout
    )
    file = ShardedFile(feature_path(samples, identity, STORED), identity.key)
    _check_named(file, identity)
    file.add(header, session, table, triple.X)
    file.consolidate()
    return file.path


def _check_named(file: ShardedFile, identity: Identity) -> None:
    """Equal vectors are one file, which has one name: under a second one nobody would find it."""
    for path in file.index().files[:1]:
        held = Identity.from_dict(store.read_header(path)[0].identity)
        names = [spelled(each.backbone, each.checkpoint) for each in (held, identity)]
        if names[0] != names[1]:
            raise FeatureError(
                f"these vectors are here already as '{names[0]}'; use that name, or remove "
                f"{file.path} to import them as '{names[1]}'."
            )


def _labels(ids: NDArray[np.str_], labels: Mapping[str, object] | None) -> NDArray[Any]:
    if labels is None:
        return np.full(len(ids), "")
    missing = [name for name in ids.tolist() if name not in labels]
    if missing:
        raise FeatureError(
            f"{counted(len(missing), 'sample')} of the file without label: {some(missing)}; "
            "give labels for all ids, or none."
        )
    return np.array([labels[name] for name in ids.tolist()])


def _check_layout(layout: str) -> None:
    if layout not in LAYOUTS:
        raise FeatureError(unknown("layout", layout, LAYOUTS))


def _not_finite(path: Path, table: pd.DataFrame) -> tuple[list[str], int]:
    bad: list[str] = []
    count = 0
    names = table["sample_id"].to_numpy(dtype=object)
    for rows, block in store.read_blocks(path):
        bad += names[rows[~np.isfinite(block).all(axis=1)]].tolist()
        count += len(rows)
    return bad, count


def _listed(what: str, ids: "list[str] | pd.Series[str]") -> list[str]:
    return [f"{len(ids)} {what}: {some(ids)}"] if len(ids) else []
