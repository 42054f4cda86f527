"""The guards that need the data: run once, when a study is evaluated."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from backbench.features.audit import audit, near_duplicates
from backbench.leaderboard import Guard, audits, guards
from backbench.metrics import Estimate, resolve
from backbench.pipeline.evidence import Evidence
from backbench.pipeline.heads_of import heads_of
from backbench.pipeline.study import Study

COSINE = 0.999
"""From here on two pictures are taken for copies of each other."""


def check(study: Study, evidence: Evidence, primary: Estimate) -> tuple[Guard, ...]:
    """Every guard that fires on the features, the folds, the heads and the score of a study."""
    found = [
        _leakage_self_test(study, evidence, primary),
        *_features(study),
        *_folds(study),
        _near_duplicates(study),
        _coverage(study, evidence),
        *_transforms(study, evidence),
    ]
    return tuple(guard for guard in found if guard)


def _leakage_self_test(study: Study, evidence: Evidence, primary: Estimate) -> Guard | None:
    """With shuffled labels nothing but chance may come out."""
    if not study.question.task.permute_labels:
        return None
    metric = resolve(primary.metric, evidence.predictions.classes)
    return guards.permuted_labels(primary, guards.chance(metric, evidence.predictions))


def _features(study: Study) -> list[Guard | None]:
    found = audit(study.features.X, study.samples.ids)
    pairs = found.duplicates
    return [
        audits.features_not_finite(found.not_finite, found.rows),
        audits.features_zero_variance(found.constant_columns, found.dim),
        audits.features_duplicated(len(pairs), found.rows, pairs.to_numpy().tolist()),
    ]


def _folds(study: Study) -> Iterator[Guard | None]:
    groups = study.samples.groups
    for fold in study.plan.folds:
        fitted = np.concatenate([fold.train, fold.val])
        yield audits.group_on_both_sides(groups, fitted, fold.test, fold.name)


def _near_duplicates(study: Study) -> Guard | None:
    sides = [(np.concatenate([f.train, f.val]), f.test) for f in study.plan.folds]
    table = near_duplicates(
        study.features.X, study.samples.ids, sides, groups=study.samples.groups, threshold=COSINE
    )
    pairs = list(table[["first", "second", "cosine"]].itertuples(index=False, name=None))
    return audits.near_duplicates(pairs, COSINE, table.attrs["total"])


def _coverage(study: Study, evidence: Evidence) -> Guard | None:
    ids = study.samples.ids
    found = set(study.features.ids.tolist())
    rows = [rows for fold in study.plan.folds for rows in (fold.train, fold.val)]
    trained = set(ids[np.unique(np.concatenate(rows))].tolist())
    tested = set(evidence.predictions.sample_id.tolist())
    return audits.coverage_loss(study.question.samples.frame, found, tested | trained)


def _transforms(study: Study, evidence: Evidence) -> Iterator[Guard | None]:
    """Whether each fold's standardisation is that of its training rows; one seed tells."""
    first = evidence.predictions.seeds[0]
    heads = heads_of(run for run in evidence.runs)
    for fold in study.plan.folds:
        weights = heads.get((first, fold.index), {})
        if {"mean", "scale"} <= set(weights):
            yield audits.transform_fitted_on_test_rows(
                _moments(weights), study.features.X, fold.train, f"fold {fold.name}"
            )


def _moments(weights: Mapping[str, Any]) -> tuple[Any, Any]:
    """Mean and standard deviation `[D]`; heads keep the inverse of the latter, 0 where constant."""
    scale = weights["scale"]
    deviation = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    return weights["mean"], deviation
