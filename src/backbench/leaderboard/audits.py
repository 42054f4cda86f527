"""Guards over features, folds, coverage and transforms: pure functions on arrays and counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.leaderboard.guard import Guard, Severity
from backbench.leaderboard.words import listed

_SHOWN = 10
Strings = NDArray[np.str_]
Rows = NDArray[np.int64]


def features_not_finite(rows: int, total: int) -> Guard | None:
    """Feature vectors with NaN or an infinity in them."""
    message = f"{rows} of {total} feature vectors hold NaN or infinite values."
    return Guard("features_not_finite", message, float(rows), "fault") if rows else None


def features_zero_variance(columns: int, width: int) -> Guard | None:
    """Feature columns that are the same for every sample; all of them is a fault."""
    if not columns:
        return None
    message = f"{columns} of {width} feature columns never change."
    severity = _severity(columns == width, else_="note")
    return Guard("features_zero_variance", message, float(columns), severity)


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
    pairs: Sequence[tuple[str, str, float]], threshold: float, count: int | None = None
) -> Guard | None:
    """Pairs on different sides of a fold whose features are nearly parallel.

    Args:
        pairs: (sample, sample, cosine), the closest first.
        threshold: cosine from which a pair counts.
        count: how many there are, if `pairs` holds only some.
    """
    found = len(pairs) if count is None else count
    if not found:
        return None
    lines = tuple(f"{a} and {b}: cosine {cosine:.4f}" for a, b, cosine in pairs[:_SHOWN])
    message = f"{found} pairs of samples in different folds have cosine {threshold:g} or more."
    return Guard("near_duplicates", message, float(found), "warning", lines)


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


def coverage_loss(asked: pd.DataFrame, found: set[str], used: set[str]) -> Guard | None:
    """Samples asked for that have no features or no prediction, by the columns of `_WORD`.

    Losing all of a class, split, site and so on is a fault, whatever the share.

    Args:
        asked: `sample_id, label, split` and, where known, `site`, `accession`, `maturity`.
        found: ids with features.
        used: ids with a prediction, or in training where the scheme has one test set.
    """
    ids = asked["sample_id"].astype(str)
    has, kept = ids.isin(sorted(found)).to_numpy(), ids.isin(sorted(used)).to_numpy()
    lost = float(1 - kept.mean()) if len(asked) else 0.0
    if not lost:
        return None
    strata = [stratum for column in _WORD for stratum in _strata(asked, column, has, kept)]
    short = [one for one in strata if one.used < one.asked]
    gone = [one.name for one in strata if not one.used]
    message = (
        f"{len(asked)} samples asked for, {has.sum()} found, {kept.sum()} used: {lost:.1%} lost"
        f"{f'; nothing is left of {listed(gone)}' if gone else ''}."
    )
    lines = tuple(f"{o.name}: {o.asked} asked, {o.found} found, {o.used} used" for o in short)
    return Guard("coverage_loss", message, lost, _severity(bool(gone)), lines)


def transform_fitted_on_test_rows(
    recorded: tuple[NDArray[np.floating], NDArray[np.floating]],
    X: NDArray[np.floating],
    train: Rows,
    unit: str,
    *,
    tolerance: float = 1e-3,
) -> Guard | None:
    """The standardisation a unit kept is not the one of its training rows.

    Args:
        recorded: mean `[D]` and scale `[D]` saved with the unit's head; one scale for all columns
            is their root mean square deviation.
        X: what is standardised `[N, D]`, NaN where a value is missing.
        train: row numbers that may be fitted on.
        unit: in words, for the message.
        tolerance: largest deviation allowed, in standard deviations of the training rows.
    """
    mean, spread = _known_moments(np.asarray(X[train], np.float64))
    whole = _known_moments(np.asarray(X, np.float64))[1]
    # Columns that hardly vary in training say nothing: there rounding is all that is left.
    alive = (spread > 1e-3 * whole) & (whole > 1e-6 * max(float(whole.max(initial=0.0)), 1e-12))
    kept = np.asarray(recorded[1], np.float64)
    alive &= kept > 0  # the head leaves a column of scale 0 out
    shared = alive.any() and np.ptp(kept[alive]) <= 1e-9 * kept[alive].max()
    scale = np.full_like(spread, np.sqrt((spread**2).mean())) if shared else spread
    shift = np.abs(np.asarray(recorded[0], np.float64) - mean)[alive] / whole[alive]
    stretch = np.abs(kept[alive] / scale[alive] - 1)
    worst = float(max(shift.max(initial=0.0), stretch.max(initial=0.0)))
    if worst <= tolerance:
        return None
    message = (
        f"{unit}: the standardisation is not that of the training rows (off by {worst:.3g} "
        "standard deviations): it was fitted on other rows, test rows perhaps."
    )
    return Guard("transform_fitted_on_test_rows", message, worst, "fault")


def _known_moments(
    rows: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the values that are there `[D]`; 0 without any."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, rows - mean, 0) ** 2).sum(axis=0) / count)
    return mean, spread


_WORD: Mapping[str, str] = {
    "split": "split",
    "label": "class",
    "site": "site",
    "accession": "accession",
    "maturity": "maturity",
}


@dataclass(frozen=True)
class _Stratum:
    name: str
    asked: int
    found: int
    used: int


def _strata(
    asked: pd.DataFrame, column: str, found: NDArray[np.bool_], used: NDArray[np.bool_]
) -> list[_Stratum]:
    """Counts for each value of a column; none where the column is not there or empty."""
    if column not in asked:
        return []
    values = asked[column].astype(str).to_numpy()
    return [
        _Stratum(f"{_WORD[column]} '{v}'", int(at.sum()), int(found[at].sum()), int(used[at].sum()))
        for v in sorted(set(values) - {""})
        if (at := values == v).any()
    ]


def _severity(fault: bool, *, else_: Severity = "warning") -> Severity:  # noqa: FBT001
    return "fault" if fault else else_


def _pairs(examples: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(" and ".join(map(str, example)) for example in examples[:_SHOWN])
