"""Guards over features, folds, coverage and transforms: pure functions on arrays and counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import counted
from backbench.leaderboard.guard import Guard, Severity
from backbench.leaderboard.words import listed

_SHOWN = 10
_BLOCK_BYTES = 8 << 20
_TOLERANCE = 1e-3
"""Standard deviations that a standardisation may be off by: rounding."""
COVERED: Mapping[str, str] = {"split": "split", "label": "class", "site": "site"}
"""Columns of samples of which no value may get lost as a whole, and the word for such a value."""
Strings = NDArray[np.str_]
Rows = NDArray[np.int64]


def features_not_finite(ids: Sequence[str], total: int) -> Guard | None:
    """Feature vectors with NaN or an infinity in them, by the samples' ids."""
    if not ids:
        return None
    message = f"{len(ids)} of {total} feature vectors hold NaN or infinite values."
    return Guard("features_not_finite", message, float(len(ids)), "fault", tuple(ids[:_SHOWN]))


def features_zero_variance(columns: int, width: int) -> Guard | None:
    """Feature columns that are the same for every sample; all of them is a fault."""
    if not columns:
        return None
    message = f"{columns} of {width} feature columns never change."
    severity = _severity(columns == width, else_="note")
    return Guard("features_zero_variance", message, float(columns), severity)


def undertrained(reach: float) -> Guard | None:
    """A head that could not get away from its random start, see `backbench.heads.reach`."""
    if reach >= 1:
        return None
    message = (
        f"all steps of training together move a weight by {reach:.2f} of the range it is drawn "
        "from at the start: raise head.lr or head.epochs, or take --head logreg."
    )
    return Guard("undertrained", message, reach, "warning")


def features_duplicated(
    rows: int, total: int, examples: Sequence[Sequence[str]] = ()
) -> Guard | None:
    """Samples that share one and the same feature vector."""
    if not rows:
        return None
    message = f"{rows} of {total} feature vectors are exact copies of another sample's."
    severity = _severity(rows >= total - 1)
    return Guard("features_duplicated", message, float(rows), severity, _pairs(examples))


def near_duplicates(
    pairs: Sequence[tuple[str, str, float]], threshold: float, total: int, *, narrow: bool = False
) -> Guard | None:
    """Pairs on different sides of a fold whose features are nearly parallel.

    Args:
        pairs: (sample, sample, cosine), the closest first.
        threshold: cosine from which a pair counts.
        total: how many there are; `pairs` may hold only some.
        narrow: the features of all samples are nearly parallel, so pairs need not be copies.
    """
    if not total:
        return None
    lines = tuple(f"{a} and {b}: cosine {cosine:.4f}" for a, b, cosine in pairs[:_SHOWN])
    message = f"{counted(total, 'pair')} in different folds with cosine {threshold:g} or more"
    if narrow:
        message += "; but all of these features are nearly parallel, so that tells no copies"
    severity: Severity = "note" if narrow else "warning"
    return Guard("near_duplicates", f"{message}.", float(total), severity, lines)


def group_on_both_sides(groups: Strings, train: Rows, test: Rows, fold: str) -> Guard | None:
    """Groups that are trained on and tested on in one fold.

    Args:
        groups: group of each sample `[N]`.
        train: row numbers of everything fitted on, validation included.
        test: row numbers of the test set.
        fold: its name.
    """
    shared = np.intersect1d(groups[train], groups[test])
    if not shared.size:
        return None
    message = f"{shared.size} groups are in training and test of fold {fold}, e.g. '{shared[0]}'."
    lines = tuple(str(group) for group in shared[:_SHOWN])
    return Guard("group_on_both_sides", message, float(shared.size), "fault", lines)


def coverage_loss(
    asked: pd.DataFrame,
    found: set[str],
    used: set[str],
    columns: Mapping[str, str] = COVERED,
) -> Guard | None:
    """Samples asked for that have no features or no prediction, by the values of some columns.

    Losing all of a class, split, site and so on is a fault, whatever the share.

    Args:
        asked: `sample_id` and, as far as they are known, the columns.
        found: ids with features.
        used: ids with a prediction, or in training where the scheme has one test set.
        columns: those to count by, each with the word for one of its values.
    """
    ids = asked["sample_id"].astype(str)
    has, kept = ids.isin(sorted(found)).to_numpy(), ids.isin(sorted(used)).to_numpy()
    lost = float(1 - kept.mean()) if len(asked) else 0.0
    if not lost:
        return None
    strata = [
        stratum
        for column, word in columns.items()
        for stratum in _strata(asked, column, word, has, kept)
    ]
    short = [one for one in strata if one.used < one.asked]
    gone = [one.name for one in strata if not one.used]
    message = (
        f"{len(asked)} samples asked for, {has.sum()} found, {kept.sum()} used: {lost:.1%} lost"
        f"{f'; nothing is left of {listed(gone)}' if gone else ''}."
    )
    lines = tuple(f"{o.name}: {o.asked} asked, {o.found} found, {o.used} used" for o in short)
    return Guard("coverage_loss", message, lost, _severity(bool(gone)), lines)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of columns `[D]`, float64, over the finite values; 0 without."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def moments(
    X: NDArray[np.floating[Any]], sides: Sequence[Rows]
) -> tuple[Moments, tuple[Moments, ...]]:
    """Moments of all rows and of each side, in two readings of X, block by block.

    Sums are of `x - mean of all rows`, so what is alike in all rows cancels nothing.

    Args:
        X: `[N, D]`, memory-mapped or not, NaN where a value is missing.
        sides: row numbers, sorted.
    """
    count, centre = _sums(X, [np.arange(len(X))], np.zeros(X.shape[1]))[:2]
    centre = (centre / np.maximum(count, 1))[0]
    count, total, square = _sums(X, [np.arange(len(X)), *sides], centre)
    mean = total / np.maximum(count, 1)
    spread = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    mean = np.where(count > 0, mean + centre, 0)
    whole, *each = map(Moments, mean, spread)
    return whole, tuple(each)


def _sums(
    X: NDArray[np.floating[Any]], sides: Sequence[Rows], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each side's finite values less centre: number, sum and sum of squares `[3, S, D]`."""
    sums = np.zeros((3, len(sides), X.shape[1]))
    step = max(1, _BLOCK_BYTES // (8 * max(1, X.shape[1])))
    for start in range(0, len(X), step):
        block = np.asarray(X[start : start + step], np.float64)
        known = np.isfinite(block)
        z = np.where(known, block - centre, 0)
        belongs = np.zeros((len(sides), len(block)))
        for side, rows in enumerate(sides):
            first, last = np.searchsorted(rows, (start, start + step))
            belongs[side, rows[first:last] - start] = 1
        sums += np.stack([belongs @ values for values in (known, z, z * z)])
    return sums


def transform_fitted_on_test_rows(
    recorded: Moments, training: Moments, whole: Moments, unit: str
) -> Guard | None:
    """The standardisation a unit kept is not the one of its training rows.

    Args:
        recorded: mean and scale saved with the unit's head; one scale for all columns is their
            root mean square deviation.
        training: of the rows that may be fitted on.
        whole: of all rows.
        unit: in words, for the message.
    """
    spread, kept = training.spread, recorded.spread
    # Columns that hardly vary in training say nothing: there rounding is all that is left.
    least = 1e-6 * max(float(whole.spread.max(initial=0.0)), 1e-12)
    alive = (spread > 1e-3 * whole.spread) & (whole.spread > least)
    alive &= kept > 0  # the head leaves a column of scale 0 out
    shared = alive.any() and np.ptp(kept[alive]) <= 1e-9 * kept[alive].max()
    scale = np.full_like(spread, np.sqrt((spread**2).mean())) if shared else spread
    shift = np.abs(recorded.mean - training.mean)[alive] / whole.spread[alive]
    stretch = np.abs(kept[alive] / scale[alive] - 1)
    worst = float(max(shift.max(initial=0.0), stretch.max(initial=0.0)))
    if worst <= _TOLERANCE:
        return None
    message = (
        f"{unit}: the standardisation is not that of the training rows (off by {worst:.3g} "
        "standard deviations): it was fitted on other rows, test rows perhaps."
    )
    return Guard("transform_fitted_on_test_rows", message, worst, "fault")


@dataclass(frozen=True)
class _Stratum:
    name: str
    asked: int
    found: int
    used: int


def _strata(
    asked: pd.DataFrame, column: str, word: str, found: NDArray[np.bool_], used: NDArray[np.bool_]
) -> list[_Stratum]:
    """Counts for each value of a column; none where the column is not there or empty."""
    if column not in asked:
        return []
    values = asked[column].astype(str).to_numpy()
    return [
        _Stratum(f"{word} '{v}'", int(at.sum()), int(found[at].sum()), int(used[at].sum()))
        for v in sorted(set(values) - {""})
        if (at := values == v).any()
    ]


def _severity(fault: bool, *, else_: Severity = "warning") -> Severity:  # noqa: FBT001
    return "fault" if fault else else_


def _pairs(examples: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(" and ".join(map(str, example)) for example in examples[:_SHOWN])
