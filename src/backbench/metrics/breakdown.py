"""Where a row is right and wrong: confusion matrix, per-class and per-group tables.

Of series the scored steps count.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.files.arrays import Arrays
from backbench.metrics.predictions import Predictions


def confusion_per_seed(predictions: Predictions) -> NDArray[np.int64]:
    """Samples by seed, true class (rows) and predicted class (columns), int64 `[S, C, C]`."""
    predictions, classes = predictions.scored, len(predictions.classes)
    cells = predictions.y_true * classes + predictions.y_pred
    counts = [np.bincount(row, minlength=classes * classes) for row in cells]
    return np.stack(counts).reshape(-1, classes, classes).astype(np.int64)


def confusion(predictions: Predictions) -> NDArray[np.float64]:
    """Mean over seeds of the confusion matrix, true classes in rows, float64 `[C, C]`."""
    mean: NDArray[np.float64] = confusion_per_seed(predictions).mean(axis=0)
    return mean


def per_class(predictions: Predictions) -> pd.DataFrame:
    """The columns of `of_classes`, one row a class."""
    return pd.DataFrame(of_classes(predictions))


def of_classes(predictions: Predictions) -> Arrays:
    """`class, support, predicted, precision, recall, f1` of each class, averaged over seeds.

    `predicted` is how many samples a seed gives the class on average. Precision is NaN where no
    seed predicts the class, recall where it does not occur; F1 is 0 there, as in `f1_<class>`.
    """
    matrix = confusion_per_seed(predictions).astype(np.float64)
    hit = np.diagonal(matrix, axis1=1, axis2=2)
    true, said = matrix.sum(axis=2), matrix.sum(axis=1)
    f1 = np.divide(2 * hit, true + said, out=np.zeros_like(hit), where=true + said > 0)
    return {
        "class": np.array(predictions.classes, object),
        "support": true[0].astype(np.int64),
        "predicted": said.mean(axis=0),
        "precision": _mean_over_seeds(hit, said),
        "recall": _mean_over_seeds(hit, true),
        "f1": f1.mean(axis=0),
    }


def per_group(predictions: Predictions) -> pd.DataFrame:
    """The columns of `of_groups`, one row a group, and `folds`: those that tested it, as text."""
    table = pd.DataFrame(of_groups(predictions))
    table.insert(1, "folds", _folds_of_groups(predictions.scored))
    return table


def of_groups(predictions: Predictions) -> Arrays:
    """`group, samples, correct, accuracy, seed_std` of each group, sorted by its name.

    `correct` is averaged over seeds; `seed_std` is the standard deviation of the accuracy over
    seeds, NaN with one seed.
    """
    predictions = predictions.scored
    right = predictions.y_pred == predictions.y_true
    codes, groups = predictions.group_codes, len(predictions.group_names)
    size = np.bincount(codes, minlength=groups)
    hits = np.stack([np.bincount(codes, weights=row, minlength=groups) for row in right])
    share = hits / size
    spread = share.std(axis=0, ddof=1) if len(share) > 1 else np.full(groups, np.nan)
    return {
        "group": predictions.group_names.astype(object),
        "samples": size,
        "correct": hits.mean(axis=0),
        "accuracy": share.mean(axis=0),
        "seed_std": spread,
    }


def _folds_of_groups(predictions: Predictions) -> list[str]:
    """Numbers of the folds that tested each group, sorted."""
    folds, place = np.unique(predictions.fold, return_inverse=True)
    pairs = np.unique(predictions.group_codes * len(folds) + place)
    starts = np.unique(pairs // len(folds), return_index=True)[1]
    tested = np.split(folds[pairs % len(folds)], starts[1:])
    return [" ".join(map(str, numbers.tolist())) for numbers in tested]


def _mean_over_seeds(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    count = (below > 0).sum(axis=0)
    nan = np.full(above.shape[1], np.nan)
    np.divide(values.sum(axis=0), count, out=nan, where=count > 0)
    return nan
