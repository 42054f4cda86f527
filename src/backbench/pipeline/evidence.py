"""The evidence of a study: its units' predictions, gathered from the runs that hold them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from backbench.errors import IncompleteError
from backbench.metrics import Predictions
from backbench.pipeline.out_of_fold import PREDICTIONS
from backbench.pipeline.study import Study
from backbench.pipeline.train_fold import find_trained
from backbench.pipeline.units import missing, spell, trained
from backbench.runs import Run, Tracker

Held = Mapping[int, Mapping[int, Run]]


@dataclass(frozen=True)
class Evidence:
    """Predictions of the units that are there.

    Attributes:
        predictions: every sample that all seeds present have tested.
        gaps: folds that no run holds, by seed; empty when complete.
        runs: those the predictions come from, oldest first.
    """

    predictions: Predictions
    gaps: Mapping[int, list[int]]
    runs: tuple[Run, ...]

    @property
    def key(self) -> str:
        """16 hexadecimal digits over the runs it comes from."""
        return evidence_key(self.runs)

    @property
    def train_seconds(self) -> float:
        """Time it took to train all units, in seconds."""
        return sum(run.metrics["train_seconds"] for run in self.runs)

    @property
    def missing(self) -> tuple[str, ...]:
        """The missing units in words."""
        return words(self.gaps)


def evidence_key(runs: Iterable[Run]) -> str:
    """16 hexadecimal digits over runs, in any order."""
    names = sorted(run.identity for run in runs)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def gather(study: Study, *, allow_incomplete: bool = False) -> Evidence:
    """Read the predictions of all units of a study.

    Raises:
        IncompleteError: units are missing, or so many that no sample is tested with every seed;
            names them and the command that trains them.
    """
    seeds = study.question.task.seeds
    held = {s: folds for s, folds in trained(find_trained(study)).items() if s in seeds}
    gaps = missing(held, seeds, len(study.plan))
    if gaps and (not allow_incomplete or not held):
        raise IncompleteError(_refusal(study, gaps))
    runs = {run.run_id: run for folds in held.values() for run in folds.values()}
    tables = {ident: _predictions(run) for ident, run in runs.items()}
    frame = pd.concat(
        table[(table["seed"] == seed) & table["fold"].isin(_folds_of(folds, ident))]
        for ident, table in tables.items()
        for seed, folds in held.items()
    )
    shared = _rectangular(frame)
    if shared.empty:
        raise IncompleteError(_refusal(study, gaps))
    predictions = replace(
        Predictions.from_frame(shared, study.samples.outcomes),
        test_to_train=study.plan.test_to_train,
    )
    ordered = sorted(runs.values(), key=lambda run: run.start)
    return Evidence(predictions, gaps, tuple(ordered))


def words(gaps: Mapping[int, Iterable[int]]) -> tuple[str, ...]:
    """Missing units as people name them."""
    return tuple(f"seed {seed}: folds {spell(folds)}" for seed, folds in gaps.items())


def _refusal(study: Study, gaps: Mapping[int, list[int]]) -> str:
    seeds = ",".join(map(str, gaps))
    folds = spell(fold for gap in gaps.values() for fold in gap)
    command = study.question.command(
        "train-fold", backbone=study.backbone, checkpoint=study.checkpoint, seed=seeds, fold=folds
    )
    count = sum(map(len, gaps.values()))
    return (
        f"{study.name}: {count} of {len(study.plan) * len(study.question.task.seeds)} units are "
        f"missing ({'; '.join(words(gaps))}). Train them with: {command}"
    )


def _predictions(run: Run) -> pd.DataFrame:
    return pd.read_parquet(Tracker().download(run, PREDICTIONS))


def _folds_of(folds: Mapping[int, Run], ident: str) -> list[int]:
    return [fold for fold, run in folds.items() if run.run_id == ident]


def _rectangular(frame: pd.DataFrame) -> pd.DataFrame:
    """Only the samples that every seed has tested; all of them where nothing is missing."""
    seeds = frame["seed"].nunique()
    counts = frame.groupby("sample_id")["seed"].transform("nunique")
    return frame[counts == seeds]
