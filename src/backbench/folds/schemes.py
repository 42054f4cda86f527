"""One function a scheme, found by name; scikit-learn does the splitting."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from backbench.errors import FoldError
from backbench.folds.fold import Fold, FoldPlan, Rows, check_disjoint
from backbench.tasks import FoldSettings
from backbench.tasks.checks import SEEDS

Strings = NDArray[np.str_]
_NONE: Rows = np.empty(0, np.int64)


@dataclass(frozen=True)
class _Table:
    """What a scheme may look at, one entry a sample `[N]`."""

    settings: FoldSettings
    y: Rows
    groups: Strings
    splits: Strings
    strata: Strings


Named = list[tuple[str, Rows]]


def plan_folds(
    settings: FoldSettings,
    *,
    y: NDArray[np.int64],
    groups: Strings,
    splits: Strings,
    order: Sequence[str],
    strata: Strings | None = None,
) -> FoldPlan:
    """Make the folds of a task.

    The samples are sorted by id first, so that the plan does not depend on their order.

    Args:
        settings: scheme and validation rule.
        y: class codes `[N]`.
        groups: group of each sample `[N]`.
        splits: `train`, `val`, `test` or empty `[N]`.
        order: sample ids `[N]`.
        strata: value of the column `settings.stratum` `[N]`, where the validation rule needs it.

    Raises:
        FoldError: too few samples or groups for the scheme, no split column, or a group
            that would sit on both sides.
    """
    rank = np.argsort(np.asarray(order), kind="stable")
    strata = np.full(len(y), "") if strata is None else strata
    table = _Table(settings, y[rank], groups[rank], splits[rank], strata[rank])
    tests = _SCHEMES[settings.scheme](table)
    folds = tuple(_fold(i, tests, table, rank) for i in range(len(tests)))
    check_disjoint(folds, groups)
    return FoldPlan(folds)


def _fold(index: int, tests: Named, table: _Table, rank: Rows) -> Fold:
    name, test = tests[index]
    rest = np.setdiff1d(np.arange(len(table.y)), test)
    if table.settings.scheme == "given_split":
        rest = rest[table.splits[rest] != ""]
    val = _VALIDATION[table.settings.validation](index, rest, tests, table)
    train = np.setdiff1d(rest, val)
    if not train.size:
        raise FoldError(
            f"fold {name}: validation '{table.settings.validation}' leaves nothing to train on "
            f"({len(rest)} samples beside the test); give more groups or set "
            'folds.validation = "none".'
        )
    sides = (train, val, test)
    return Fold(index, name, *(np.sort(rank[rows]) for rows in sides))


# --- test sets -----------------------------------------------------------------------------------


def _stratified(table: _Table) -> Named:
    from sklearn.model_selection import StratifiedKFold

    groups = len(np.unique(table.groups))
    if groups < len(table.groups):
        raise FoldError(
            f"stratified_k_fold would put samples of one of the {groups} groups "
            'on both sides; set folds.scheme = "group_k_fold" or "leave_one_group_out".'
        )
    settings = table.settings
    _enough(int(np.bincount(table.y).min()), settings.n_splits, "samples in the smallest class")
    splitter = StratifiedKFold(settings.n_splits, shuffle=True, random_state=settings.seed)
    return _numbered([test for _, test in splitter.split(table.y, table.y)])


def _grouped(table: _Table) -> Named:
    from sklearn.model_selection import GroupKFold

    settings = table.settings
    _enough(len(np.unique(table.groups)), settings.n_splits, "groups")
    splitter = GroupKFold(settings.n_splits, shuffle=True, random_state=settings.seed)
    return _numbered([test for _, test in splitter.split(table.y, table.y, table.groups)])


def _leave_one_out(table: _Table) -> Named:
    from sklearn.model_selection import LeaveOneGroupOut

    if len(np.unique(table.groups)) < 2:
        raise FoldError(
            "leave_one_group_out needs 2 groups or more, but all samples are of group "
            f"'{table.groups[0]}'; name a column of several groups with folds.group."
        )
    tests = [test for _, test in LeaveOneGroupOut().split(table.y, table.y, table.groups)]
    return [(str(table.groups[test[0]]), test) for test in tests]


def _given(table: _Table) -> Named:
    test = np.flatnonzero(table.splits == "test")
    if not test.size or not (table.splits == "train").any():
        found = ", ".join(sorted(set(table.splits) - {""})) or "none"
        raise FoldError(
            f"given_split needs a 'split' column with 'train' and 'test' rows; found {found}."
        )
    return [("test", test)]


def _numbered(tests: list[Rows]) -> Named:
    return [(str(number), rows) for number, rows in enumerate(tests)]


def _enough(count: int, wanted: int, what: str) -> None:
    if wanted < 2:
        raise FoldError(f"folds.n_splits is {wanted}; it has to be 2 or more.")
    if count < wanted:
        raise FoldError(f"{count} {what} cannot make {wanted} folds; lower folds.n_splits.")


_SCHEMES: dict[str, Callable[[_Table], Named]] = {
    "stratified_k_fold": _stratified,
    "group_k_fold": _grouped,
    "leave_one_group_out": _leave_one_out,
    "given_split": _given,
}


# --- validation sets -----------------------------------------------------------------------------


def _next_fold(index: int, rest: Rows, tests: Named, table: _Table) -> Rows:
    del rest, table
    if len(tests) < 3:
        raise FoldError(
            f"validation 'next_fold' needs 3 folds or more, this task has {len(tests)}; "
            'set folds.validation = "fraction", "given" or "none".'
        )
    return tests[(index + 1) % len(tests)][1]


def _fraction(index: int, rest: Rows, tests: Named, table: _Table) -> Rows:
    from sklearn.model_selection import GroupShuffleSplit

    share, seed = table.settings.validation_fraction, (table.settings.seed + index) % SEEDS
    if not 0 < share < 1:
        raise FoldError(f"folds.validation_fraction is {share}; it has to lie between 0 and 1.")
    groups = len(np.unique(table.groups[rest]))
    if ceil(share * groups) >= groups:
        raise FoldError(
            f"fold {tests[index][0]}: validation 'fraction' of {share} leaves no group to train on "
            f"(groups beside the test: {groups}); lower folds.validation_fraction or set "
            'folds.validation = "none".'
        )
    splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
    _, chosen = next(splitter.split(rest, groups=table.groups[rest]))
    val: Rows = rest[chosen]
    return val


def _one_per_stratum(index: int, rest: Rows, tests: Named, table: _Table) -> Rows:
    """One generator runs through the folds in order, so a fold's draw follows those before it."""
    stratum = _stratum_of_groups(table, np.union1d(rest, tests[index][1]))
    random = np.random.default_rng(table.settings.seed)
    chosen: list[str] = []
    for _, test in tests[: index + 1]:
        tested = set(table.groups[test].tolist())
        free = {group: value for group, value in stratum.items() if group not in tested}
        chosen = [_draw(random, free, value) for value in sorted(set(stratum.values()))]
    val: Rows = rest[np.isin(table.groups[rest], chosen)]
    return val


def _draw(random: np.random.Generator, strata: dict[str, str], value: str) -> str:
    """A group of the stratum `value`, from their names in order."""
    names = sorted(group for group, stratum in strata.items() if stratum == value)
    if not names:
        raise FoldError(
            f"validation 'one_per_stratum' finds no group with stratum '{value}' beside the test "
            'groups; give each stratum two groups or more, or set folds.validation = "next_fold".'
        )
    return str(random.choice(names))


def _stratum_of_groups(table: _Table, rows: Rows) -> dict[str, str]:
    """Group -> stratum, in the order of their names, of rows that are in play."""
    told = zip(table.groups[rows].tolist(), table.strata[rows].tolist(), strict=True)
    pairs = sorted(set(told))
    if not pairs or not all(stratum for _, stratum in pairs):
        raise FoldError(
            "validation 'one_per_stratum' needs a stratum for every group; "
            "name a column without gaps with folds.stratum."
        )
    torn = next((a for (a, _), (b, _) in pairwise(pairs) if a == b), None)
    if torn is not None:
        raise FoldError(
            f"group '{torn}' has more than one value of '{table.settings.stratum}'; "
            "validation 'one_per_stratum' needs one a group."
        )
    return dict(pairs)


def _given_val(index: int, rest: Rows, tests: Named, table: _Table) -> Rows:
    del index, tests
    val: Rows = rest[table.splits[rest] == "val"]
    if not val.size:
        raise FoldError("validation 'given' needs rows whose split is 'val'; there are none.")
    return val


def _no_validation(index: int, rest: Rows, tests: Named, table: _Table) -> Rows:
    del index, rest, tests, table
    return _NONE


_VALIDATION: dict[str, Callable[[int, Rows, Named, _Table], Rows]] = {
    "next_fold": _next_fold,
    "fraction": _fraction,
    "one_per_stratum": _one_per_stratum,
    "given": _given_val,
    "none": _no_validation,
}
