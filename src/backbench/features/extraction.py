"""One extraction: take stock, reuse, compute what is missing, and give everything as asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.backbones import Backbone, Identity
from backbench.errors import BackbenchError, FeatureError, some
from backbench.features import store
from backbench.features.computing import Computed, compute
from backbench.features.features import Features, matrix, no_errors
from backbench.features.keys import contents_of, features_key
from backbench.features.loading import UNREADABLE, describe
from backbench.features.options import Options
from backbench.features.progress import told
from backbench.features.reuse import adopt
from backbench.features.shards import Index, ShardedFile
from backbench.features.stock import Stock, take_stock
from backbench.files.home import features_folder
from backbench.samples import Samples

Strings = NDArray[np.str_]


class UnreadableSamplesError(FeatureError):
    """Too many samples cannot be read; `errors` lists them (`sample_id, path, error`)."""

    def __init__(self, line: str, errors: pd.DataFrame) -> None:
        super().__init__(line)
        self.errors = errors


def feature_path(samples_name: str, identity: Identity, dtype: str = "float32") -> Path:
    """`features/<samples>/<backbone>-<identity key>.h5`; float16 says so in the name."""
    plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in identity.backbone)
    suffix = "" if dtype == "float32" else f"-{dtype}"
    return features_folder() / samples_name / f"{plain}-{identity.key}{suffix}.h5"


@dataclass
class Extraction:
    """One call of `extract`, with the network behind a function: it loads only if needed.

    Attributes:
        samples, identity, options: as given.
        load: gives the backbone ready to run.
        failures: unreadable samples so far, by row.
    """

    samples: Samples
    identity: Identity
    load: Callable[[], Backbone]
    options: Options = field(default_factory=Options)
    failures: dict[int, str] = field(default_factory=dict)

    def run(self) -> Features:
        """Take stock, reuse, compute what is missing, and give everything in the order asked."""
        path = feature_path(self.samples.name, self.identity, self.options.dtype)
        file = ShardedFile(path, self.identity.key)
        stock = self._stock(file.index(), verify=self.options.verify)
        stock = self._adopt(file, stock)
        done = self._compute(file, stock.pending.tolist())
        if file.parts() or len(stock.touched):
            index = file.consolidate(done.session if done else None, stock.touched)
            stock = self._stock(index)
        errors = self._errors()
        self._check(stock, errors)
        return self._features(file, stock, errors, done.count if done else 0)

    def _stock(self, index: Index, *, verify: bool = False) -> Stock:
        return take_stock(self.samples, index, verify=verify, precision=self.options.precision)

    def _adopt(self, file: ShardedFile, stock: Stock) -> Stock:
        """Stock after copying what other runs have, from one file after the other until all is."""
        if not (len(stock.pending) and self.options.remote):
            return stock
        for fetch in self.options.remote(self.identity.key):
            if self._adopted(file, fetch, stock):
                stock = self._stock(file.index())
            if not len(stock.pending):
                break
        return stock

    def _adopted(self, file: ShardedFile, fetch: Callable[[], Path], stock: Stock) -> int:
        """Rows copied from one file; it only saves time, so it may be missing or damaged."""
        pending = stock.pending.tolist()
        try:
            return adopt(file, fetch(), self.samples, pending, self.options)
        except (BackbenchError, OSError) as error:  # the latter: sent and removed meanwhile
            told(self.options.console, f"features of another run are not reused: {error}")
            return 0

    def _compute(self, file: ShardedFile, pending: list[int]) -> Computed | None:
        readable = self._from_first_readable(pending)
        if not readable:
            return None
        done = compute(self.samples, readable, self.load(), file, self.options)
        self.failures |= done.failures
        return done

    def _from_first_readable(self, pending: list[int]) -> list[int]:
        """Drop unreadable samples at the front: if all are, no network has to be loaded."""
        for position, row in enumerate(pending):
            try:
                self.samples.source.open(row)
            except UNREADABLE as error:
                self.failures[row] = describe(error)
            else:
                return pending[position:]
        return []

    def _errors(self) -> pd.DataFrame:
        if not self.failures:
            return no_errors()
        rows = sorted(self.failures)
        paths = self.samples.frame["path"].astype(str).to_numpy()[rows]
        reasons = [self.failures[row] for row in rows]
        return pd.DataFrame({"sample_id": self.samples.ids[rows], "path": paths, "error": reasons})

    def _check(self, stock: Stock, errors: pd.DataFrame) -> None:
        total, allowed = len(self.samples), self.options.max_error_fraction
        if len(errors) == total or len(errors) > allowed * total:
            raise UnreadableSamplesError(
                f"{len(errors)} of {total} samples of {self.samples.name} cannot be read: "
                f"{some(errors['sample_id'])} ({errors['error'].iloc[0].rstrip('.')}). Mend or "
                f"remove them, or allow a share of them with max_error_fraction (now {allowed:g}).",
                errors,
            )
        changed = np.setdiff1d(stock.pending, list(self.failures))
        if len(changed):
            raise FeatureError(
                f"{len(changed)} samples of {self.samples.name} changed while they were "
                f"extracted: {some(self.samples.ids[changed])}. Run extract again once nothing "
                "writes to them."
            )

    def _features(
        self, file: ShardedFile, stock: Stock, errors: pd.DataFrame, computed: int
    ) -> Features:
        rows = sorted(stock.hashes)
        ids = self.samples.ids[rows]
        contents = np.array([stock.hashes[row] for row in rows], dtype=str)
        attributes = store.read_attributes(file.path)
        dim, dtype = int(attributes["dim"]), self.options.dtype

        def read(index: Index) -> tuple[NDArray[Any], str]:
            found = _rows(index, ids, contents)
            key = features_key(self.identity.key, contents_of(found, index.sessions))
            return matrix(index, found, dim, dtype, file.path.parent), key

        X, key = file.steadily(read)
        return Features(
            path=file.path,
            key=key,
            identity_key=self.identity.key,
            ids=ids,
            X=X,
            contents=contents,
            provenance=attributes,
            errors=errors,
            computed=computed,
            reused=len(rows) - computed,
        )


def _rows(index: Index, ids: Strings, contents: Strings) -> pd.DataFrame:
    """The rows of the index with these ids and content hashes, in this order."""
    place = index.place(ids)
    rows: pd.DataFrame = index.rows.iloc[place]
    lost = (place < 0) | (rows["content_sha256"].to_numpy(object) != contents.astype(object))
    if lost.any():
        raise FeatureError(
            f"another process replaced {int(lost.sum())} rows meanwhile: {some(ids[lost])}; "
            "two sample sets of one name differ. Give them different names, or run again."
        )
    return rows
