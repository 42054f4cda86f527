"""One function a scheme, found by name; scikit-learn does the splitting."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    StratifiedKFold,
)

from backbench.errors import FoldError
from backbench.folds.fold import Fold, FoldPlan, Rows, check_disjoint
from backbench.tasks import FoldSettings

Strings = NDArray[np.str_]
_NONE: Rows = np.empty(0, np.int64)


def plan_folds(
    settings: FoldSettings,
    *,
    y: NDArray[np.int64],
    groups: Strings,
    splits: Strings,
    order: Sequence[str],
) -> FoldPlan:
    """Make the folds of a task.

    The samples are sorted by id first, so that the plan does not depend on their order.

    Args:
        settings: scheme and validation rule.
        y: class codes `[N]`.
        groups: group of each sample `[N]`.
        splits: `train`, `val`, `test` or empty `[N]`.
        order: sample ids `[N]`.

    Raises:
        FoldError: too few samples or groups for the scheme, no split column, or a group that
            would sit on both sides.
    """
    rank = np.argsort(np.asarray(order), kind="stable")
    tests = _SCHEMES[settings.scheme](settings, y[rank], groups[rank], splits[rank])
    named = [(name, np.sort(rank[rows])) for name, rows in tests]
    folds = tuple(_fold(i, named, settings, groups, splits) for i in range(len(named)))
    check_disjoint(folds, groups)
    return FoldPlan(folds)


Named = list[tuple[str, Rows]]


def _fold(
    index: int, tests: Named, settings: FoldSettings, groups: Strings, splits: Strings
) -> Fold:
    name, test = tests[index]
    rest = np.setdiff1d(np.arange(len(groups)), test)
    if settings.scheme == "given_split":
        rest = rest[splits[rest] != ""]
    val = _VALIDATION[settings.validation](index, rest, tests, settings, groups, splits)
    return Fold(index, name, np.setdiff1d(rest, val), np.sort(val), test)


# --- test sets -----------------------------------------------------------------------------------


def _stratified(settings: FoldSettings, y: Rows, groups: Strings, splits: Strings) -> Named:
    del splits
    if len(np.unique(groups)) < len(groups):
        raise FoldError(
            f"stratified_k_fold would put samples of one of the {len(np.unique(groups))} groups "
            'on both sides; set folds.scheme = "group_k_fold" or "leave_one_group_out".'
        )
    smallest = int(np.bincount(y).min())
    _enough(smallest, settings.n_splits, "samples in the smallest class")
    splitter = StratifiedKFold(settings.n_splits, shuffle=True, random_state=settings.seed)
    return _numbered([test for _, test in splitter.split(y, y)])


def _grouped(settings: FoldSettings, y: Rows, groups: Strings, splits: Strings) -> Named:
    del splits
    _enough(len(np.unique(groups)), settings.n_splits, "groups")
    splitter = GroupKFold(settings.n_splits, shuffle=True, random_state=settings.seed)
    return _numbered([test for _, test in splitter.split(y, y, groups)])


def _leave_one_out(settings: FoldSettings, y: Rows, groups: Strings, splits: Strings) -> Named:
    del settings, splits
    _enough(len(np.unique(groups)), 2, "groups")
    tests = [test for _, test in LeaveOneGroupOut().split(y, y, groups)]
    return [(str(groups[test[0]]), test) for test in tests]


def _given(settings: FoldSettings, y: Rows, groups: Strings, splits: Strings) -> Named:
    del settings, y, groups
    test = np.flatnonzero(splits == "test")
    if not test.size or not (splits == "train").any():
        raise FoldError(
            "given_split needs a 'split' column with 'train' and 'test' rows; found "
            f"{', '.join(sorted(set(splits) - {''})) or 'none'}."
        )
    return [("test", test)]


def _numbered(tests: list[Rows]) -> Named:
    return [(str(number), rows) for number, rows in enumerate(tests)]


def _enough(count: int, wanted: int, what: str) -> None:
    if count < wanted:
        raise FoldError(f"{count} {what} cannot make {wanted} folds; lower folds.n_splits.")


_SCHEMES: dict[str, Callable[[FoldSettings, Rows, Strings, Strings], Named]] = {
    "stratified_k_fold": _stratified,
    "group_k_fold": _grouped,
    "leave_one_group_out": _leave_one_out,
    "given_split": _given,
}


# --- validation sets -----------------------------------------------------------------------------


def _next_fold(
    index: int, rest: Rows, tests: Named, settings: FoldSettings, groups: Strings, splits: Strings
) -> Rows:
    del rest, settings, groups, splits
    if len(tests) < 3:
        raise FoldError(
            f"validation 'next_fold' needs 3 folds or more, this task has {len(tests)}; "
            'set folds.validation = "fraction", "given" or "none".'
        )
    return tests[(index + 1) % len(tests)][1]


def _fraction(
    index: int, rest: Rows, tests: Named, settings: FoldSettings, groups: Strings, splits: Strings
) -> Rows:
    del tests, splits
    splitter = GroupShuffleSplit(
        1, test_size=settings.validation_fraction, random_state=settings.seed + index
    )
    _, val = next(splitter.split(rest, groups=groups[rest]))
    return rest[val]


def _given_val(
    index: int, rest: Rows, tests: Named, settings: FoldSettings, groups: Strings, splits: Strings
) -> Rows:
    del index, tests, settings, groups
    val = rest[splits[rest] == "val"]
    if not val.size:
        raise FoldError("validation 'given' needs rows whose split is 'val'; there are none.")
    return val


def _no_validation(
    index: int, rest: Rows, tests: Named, settings: FoldSettings, groups: Strings, splits: Strings
) -> Rows:
    del index, rest, tests, settings, groups, splits
    return _NONE


_VALIDATION: dict[
    str, Callable[[int, Rows, Named, FoldSettings, Strings, Strings], Rows]
] = {
    "next_fold": _next_fold,
    "fraction": _fraction,
    "given": _given_val,
    "none": _no_validation,
}
