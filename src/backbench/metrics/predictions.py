"""Out-of-fold predictions: the evidence from which every number downstream is computed."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import MetricError
from backbench.metrics.long_form import LongForm, Places
from backbench.metrics.timeline import Timeline

Strings = NDArray[np.str_]
Integers = NDArray[np.int64]
_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Predictions:
    """One backbone's predictions: every sample exactly once for every seed.

    Where samples are series, a row is a step of one.

    Attributes:
        sample_id: text `[N]`, unique.
        group: the unit of evidence each sample belongs to (plant, patient, image), text `[N]`.
        fold: number of the fold that tested the sample, int64 `[N]`.
        y_true: class codes 0 to C - 1, int64 `[N]`.
        probabilities: float32 `[S, N, C]`, each row sums to 1.
        seeds: the seeds of training, S of them.
        classes: names of the classes, C of them.
        timeline: where in time each row is; None where samples are no series.
        test_to_train: test samples over those that learning saw, mean over folds; None where it is
            not known.

    Raises:
        MetricError: shapes that do not fit, repeated ids, labels out of range, probabilities that
            are NaN, negative or do not sum to 1.
    """

    sample_id: Strings
    group: Strings
    fold: Integers
    y_true: Integers
    probabilities: NDArray[np.float32]
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    timeline: Timeline | None = None
    test_to_train: float | None = None

    def __post_init__(self) -> None:
        """Bring every field to its type, then check all of them."""
        for name, dtype in (("sample_id", np.str_), ("group", np.str_)):
            object.__setattr__(self, name, np.asarray(getattr(self, name)).astype(dtype))
        for name in ("fold", "y_true"):
            object.__setattr__(self, name, _whole(name, np.asarray(getattr(self, name))))
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float32))
        object.__setattr__(self, "seeds", tuple(int(seed) for seed in self.seeds))
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        _check_shapes(self)
        _check_samples(self)
        _check_probabilities(self)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.sample_id)

    @cached_property
    def y_pred(self) -> Integers:
        """Most probable class, the first of equals, int64 `[S, N]`."""
        most_probable: Integers = self.probabilities.argmax(axis=2).astype(np.int64)
        return most_probable

    @cached_property
    def group_names(self) -> Strings:
        """The groups, sorted `[G]`."""
        return np.unique(self.group)

    @cached_property
    def group_codes(self) -> Integers:
        """Position of each sample's group in `group_names`, int64 `[N]`."""
        return np.searchsorted(self.group_names, self.group).astype(np.int64)

    @property
    def folds(self) -> int:
        """The number of folds that tested something."""
        return len(np.unique(self.fold))

    @cached_property
    def scored(self) -> "Predictions":
        """What counts in metrics of decisions: all samples, or the scored steps of series."""
        time = self.timeline
        return self if time is None or time.scored.all() else self.take(np.flatnonzero(time.scored))

    def take(self, rows: Integers) -> "Predictions":
        """The same predictions for some samples only, or in another order."""
        return Predictions(
            self.sample_id[rows],
            self.group[rows],
            self.fold[rows],
            self.y_true[rows],
            self.probabilities[:, rows],
            self.seeds,
            self.classes,
            self.timeline.take(rows) if self.timeline else None,
            self.test_to_train,
        )

    def to_frame(self) -> pd.DataFrame:
        """Long form: one row a sample and seed, with a column `p_<class code>` for each class.

        `classes` and `test_to_train` travel in `frame.attrs`, which Parquet keeps.
        """
        seeds, samples, classes = self.probabilities.shape
        flat = self.probabilities.reshape(seeds * samples, classes)
        frame = pd.DataFrame(
            {
                "sample_id": np.tile(self.sample_id, seeds).astype(object),
                "group": np.tile(self.group, seeds).astype(object),
                "fold": np.tile(self.fold, seeds),
                "seed": np.repeat(np.asarray(self.seeds, np.int64), samples),
                "y_true": np.tile(self.y_true, seeds),
                **{f"p_{code}": flat[:, code] for code in range(classes)},
                **(self.timeline.to_columns(seeds) if self.timeline else {}),
            }
        )
        frame.attrs["classes"] = list(self.classes)
        frame.attrs["test_to_train"] = self.test_to_train
        return frame

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, classes: Sequence[str] | None = None) -> "Predictions":
        """Read the long form of `to_frame`; rows may come in any order.

        Args:
            frame: columns `sample_id, group, fold, seed, y_true, p_0, p_1, ...`, and of series
                those of `Timeline`.
            classes: names in the order of the codes; needed when the frame does not carry them.

        Raises:
            MetricError: a column or a sample x seed is missing or repeated, a sample's group, fold
                or label differs between seeds, or the classes do not match the columns.
        """
        columns = {str(name): frame[name].to_numpy() for name in frame}
        form = LongForm(columns, {str(k): v for k, v in frame.attrs.items()})
        return _Read.whole(form, classes).predictions

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read the Parquet file of a `to_frame`, which takes several times as long with pandas.

        Raises:
            MetricError: as `from_frame`, or the file is none of Parquet.
        """
        return _Read.whole(LongForm.read(path)).predictions

    @classmethod
    def read_all(cls, paths: Iterable[Path]) -> "list[Predictions]":
        """Read one file after the other; samples that are those of the last are not read again.

        Raises:
            MetricError: as `read`.
        """
        last: _Read | None = None
        found: list[Predictions] = []
        for path in paths:
            form = LongForm.read(path)
            alike = last is not None and form.differs_in_probabilities(last.form)
            last = last.with_probabilities(form) if last and alike else _Read.whole(form)
            found.append(last.predictions)
        return found

    def with_probabilities(self, probabilities: NDArray[np.float32]) -> "Predictions":
        """Others `[S, N, C]` for the same samples and seeds, which are not checked again.

        Raises:
            MetricError: as for new ones.
        """
        _ = self.group_codes  # made once: the copy has them too
        others = copy(self)
        for name in ("y_pred", "scored"):
            vars(others).pop(name, None)
        object.__setattr__(others, "probabilities", np.asarray(probabilities, np.float32))
        _check_shapes(others)
        _check_probabilities(others)
        return others


@dataclass(frozen=True, eq=False)
class _Read:
    """Predictions, the table that they were read from, and the row of each cell in it `[S, N]`."""

    form: LongForm
    where: Places
    predictions: Predictions

    @classmethod
    def whole(cls, form: LongForm, classes: Sequence[str] | None = None) -> "_Read":
        names = form.classes(classes)
        seeds, where = form.cells(names)
        first = form.first(where)
        predictions = Predictions(
            first["sample_id"],
            first["group"],
            first["fold"],
            first["y_true"],
            form.probabilities(names, where),
            seeds,
            names,
            Timeline.from_columns(first),
            form.test_to_train,
        )
        return cls(form, where, predictions)

    def with_probabilities(self, form: LongForm) -> "_Read":
        """Those of another table, the other columns of which are the same."""
        probabilities = form.probabilities(self.predictions.classes, self.where)
        return _Read(form, self.where, self.predictions.with_probabilities(probabilities))


def _whole(name: str, values: NDArray[np.generic]) -> Integers:
    if not np.issubdtype(values.dtype, np.number) or (values != np.floor(values)).any():
        raise MetricError(f"predictions: '{name}' has to hold whole numbers, found {values.dtype}.")
    return values.astype(np.int64)


def _check_shapes(p: Predictions) -> None:
    wanted = (len(p.seeds), len(p.sample_id), len(p.classes))
    if p.probabilities.shape != wanted:
        raise MetricError(
            f"predictions: probabilities have shape {p.probabilities.shape}, but seeds x samples x "
            f"classes is {wanted}."
        )
    if p.timeline is not None and len(p.timeline) != wanted[1]:
        raise MetricError(f"predictions: a timeline of {len(p.timeline)} for {wanted[1]} samples.")
    if 0 in wanted or len(p.classes) < 2:
        raise MetricError(
            f"predictions need a seed, a sample and 2 classes at least, found {wanted}."
        )
    for field in fields(p)[1:4]:
        if getattr(p, field.name).shape != (wanted[1],):
            raise MetricError(
                f"predictions: '{field.name}' has {getattr(p, field.name).shape} entries for "
                f"{wanted[1]} samples."
            )


def _check_samples(p: Predictions) -> None:
    ids, counts = np.unique(p.sample_id, return_counts=True)
    if counts.max() > 1:
        raise MetricError(
            f"predictions: sample '{ids[counts.argmax()]}' occurs {counts.max()} times; "
            "every sample is tested exactly once a seed."
        )
    for what, values in (("seed", p.seeds), ("class", p.classes)):
        if len(set(values)) < len(values):
            raise MetricError(f"predictions: a {what} is repeated in {values}.")
    if p.y_true.min() < 0 or p.y_true.max() >= len(p.classes):
        raise MetricError(
            f"predictions: labels run from {p.y_true.min()} to {p.y_true.max()}, but the "
            f"{len(p.classes)} classes have the codes 0 to {len(p.classes) - 1}."
        )


def _check_probabilities(p: Predictions) -> None:
    sums = p.probabilities.sum(axis=2, dtype=np.float64)
    bad = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (p.probabilities < 0).any(axis=2)
    if bad.any():
        seed, sample = np.argwhere(bad)[0]
        raise MetricError(
            f"predictions: {bad.sum()} rows are no probabilities; the first is sample "
            f"'{p.sample_id[sample]}', seed {p.seeds[seed]}: {p.probabilities[seed, sample]}. "
            "Each row has to be finite, not negative, and sum to 1."
        )
