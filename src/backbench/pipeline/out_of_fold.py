"""What trained units say of the samples they did not see, as predictions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from backbench.heads import UnitResult
from backbench.metrics import Predictions
from backbench.metrics.timeline import Timeline
from backbench.pipeline.study import Study
from backbench.samples import Samples, Series

PREDICTIONS = "predictions.parquet"
"""What runs, of one seed or of all, call the file of them."""


def out_of_fold(study: Study, results: Sequence[UnitResult], seed: int) -> Predictions:
    """The predictions of one seed's units for their test samples, or for all steps of these."""
    folds = [result.unit.fold for result in results]
    rows, samples = np.concatenate([fold.test for fold in folds]), study.samples
    logits = np.concatenate([result.logits for result in results]).astype(np.float64)
    each = len(samples.series.steps) if samples.series else 1
    numbers = np.repeat([fold.index for fold in folds], [len(fold.test) for fold in folds])
    return Predictions(
        sample_id=_ids(samples, rows),
        group=np.repeat(samples.groups[rows], each),
        fold=np.repeat(numbers, each),
        y_true=samples.series.y[rows].ravel() if samples.series else samples.y[rows],
        probabilities=softmax(logits, axis=1)[None].astype(np.float32),
        seeds=(seed,),
        classes=samples.outcomes,
        timeline=_timeline(samples.series, samples.ids[rows], rows) if samples.series else None,
        test_to_train=study.plan.test_to_train,
    )


def _ids(samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """Sample ids, or `sample/step` of every step in turn."""
    ids = samples.ids[rows]
    if samples.series is None:
        return ids
    return np.array([f"{ident}/{step}" for ident in ids for step in samples.series.steps])


def _timeline(series: Series, ids: NDArray[np.str_], rows: NDArray[np.int64]) -> Timeline:
    each = len(series.steps)
    return Timeline(
        series=np.repeat(ids, each),
        day=np.tile(series.day, len(rows)),
        scored=series.scored[rows].ravel(),
        onset=np.repeat(series.onset[rows], each),
    )
