"""The guards that need the data: run once, when a study is evaluated."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.features.audit import audit, near_duplicates
from backbench.heads import reach
from backbench.leaderboard import Guard, audits, guards
from backbench.leaderboard.guessing import chance
from backbench.metrics import Estimate, resolve
from backbench.pipeline.evidence import Evidence
from backbench.pipeline.heads_of import heads_of
from backbench.pipeline.study import Study
from backbench.runs import tags
from backbench.tasks import Task

Rows = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
OfFolds = Mapping[int, Mapping[str, Any]]
"""Arrays of the heads of one seed, by fold."""
COSINE = 0.999
"""From here on two pictures are taken for copies of each other."""


def check(study: Study, evidence: Evidence, primary: Estimate) -> tuple[Guard, ...]:
    """Every guard that fires on the features, the folds, the heads and the score of a study."""
    found = [
        _leakage_self_test(study, evidence, primary),
        *_features(study),
        audits.undertrained(
            reach(study.question.task.head, len(study.samples), study.features.X.shape[1])
        ),
        *_folds(study),
        _near_duplicates(study),
        _coverage(study, evidence),
        *transforms(study, _heads_of_a_seed(evidence)),
    ]
    return tuple(guard for guard in found if guard)


def _leakage_self_test(study: Study, evidence: Evidence, primary: Estimate) -> Guard | None:
    """With shuffled labels nothing but chance may come out."""
    if not study.question.task.permute_labels:
        return None
    metric = resolve(primary.metric, evidence.predictions.classes)
    return guards.permuted_labels(primary, chance(metric, evidence.predictions))


def _features(study: Study) -> list[Guard | None]:
    found = audit(study.features.X, study.features.ids)
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
    pictures = study.samples.pictures
    sides = [
        (study.picture_rows(np.concatenate([f.train, f.val])), study.picture_rows(f.test))
        for f in study.plan.folds
    ]
    table = near_duplicates(
        study.features.X, pictures.ids, sides, groups=pictures.groups, threshold=COSINE
    )
    pairs = list(table[["first", "second", "cosine"]].itertuples(index=False, name=None))
    total, narrow = table.attrs["total"], table.attrs["narrow"]
    return audits.near_duplicates(pairs, COSINE, total, narrow=narrow)


def _coverage(study: Study, evidence: Evidence) -> Guard | None:
    """Of the samples, or of the pictures of series."""
    asked, pictures = study.question.samples.pictures, study.samples.pictures
    fitted = [rows for fold in study.plan.folds for rows in (fold.train, fold.val)]
    trained = np.unique(np.concatenate(fitted))
    used = np.union1d(trained, np.flatnonzero(np.isin(study.samples.ids, _tested(evidence))))
    found = set(study.features.ids.tolist())
    kept = set(pictures.ids[study.picture_rows(used)])
    return audits.coverage_loss(asked.frame, found, kept, _covered(study.question.task))


def _covered(task: Task) -> Mapping[str, str]:
    """What the task itself distinguishes, too: its strata, and its groups where each is a fold."""
    folds = task.folds
    alone = folds.scheme == "leave_one_group_out"
    named = [folds.group_column] * alone + [folds.stratum] * bool(folds.stratum)
    return {**audits.COVERED, **{column: column for column in named}}


def _tested(evidence: Evidence) -> NDArray[np.str_]:
    """Ids of the samples that were tested."""
    predictions = evidence.predictions
    time = predictions.timeline
    return predictions.sample_id if time is None else np.unique(time.series)


def _heads_of_a_seed(evidence: Evidence) -> OfFolds:
    """Of the first seed: another has the same folds, and its heads may be large."""
    runs = evidence.runs
    first = min((int(run.tags[tags.SEED]) for run in runs), default=0)
    heads = heads_of(run for run in runs if int(run.tags[tags.SEED]) == first)
    return {fold: weights for (_, fold), weights in heads.items()}


def transforms(study: Study, heads: OfFolds) -> Iterator[Guard | None]:
    """Whether each fold's standardisation is that of its training rows, as heads of a seed tell."""
    for prefix, X, rows_of in _scaled(study):
        mean, scale = f"{prefix}mean", f"{prefix}scale"
        units = [(fold, heads.get(fold.index, {})) for fold in study.plan.folds]
        kept = [(fold, weights) for fold, weights in units if {mean, scale} <= set(weights)]
        if not kept:
            continue
        whole, each = audits.moments(X, [rows_of(fold.train) for fold, _ in kept])
        for (fold, weights), training in zip(kept, each, strict=True):
            recorded = _recorded(weights[mean], weights[scale])
            unit = f"fold {fold.name}{prefix and ', '}{prefix.removesuffix('.')}"
            yield audits.transform_fitted_on_test_rows(recorded, training, whole, unit)


def _scaled(study: Study) -> Iterator[tuple[str, Floats, Callable[[Rows], Rows]]]:
    """What heads standardise: prefix of the arrays, `[N, D]`, and which rows those of samples are.

    Of series each channel, a row a sample and step, NaN where nothing was measured.
    """
    series = study.samples.series
    if series is None:
        yield "", study.features.X, lambda samples: samples
        return
    steps = np.arange(len(series.steps))
    for name, channel in series.channels.items():
        seen = np.where(channel.observed[..., None], channel.values, np.nan)
        rows = seen.reshape(-1, channel.width)
        yield f"{name}.", rows, lambda samples: (samples[:, None] * len(steps) + steps).ravel()


def _recorded(mean: Floats, scale: Floats) -> audits.Moments:
    """Mean and standard deviation `[D]`; heads keep the inverse of the latter, 0 where constant."""
    spread = np.divide(1, scale, out=np.zeros(scale.shape), where=scale != 0)
    return audits.Moments(mean.astype(np.float64), spread)
