"""Classifiers on features: every fold, seed and grid point of a head in one batched computation."""

from backbench.heads.reach import reach
from backbench.heads.table import HEADS, HeadRow, check_takes, predict, settings_of, train, warm_up
from backbench.heads.unit import Problem, Unit, UnitResult

__all__ = [
    "HEADS",
    "HeadRow",
    "Problem",
    "Unit",
    "UnitResult",
    "check_takes",
    "predict",
    "reach",
    "settings_of",
    "train",
    "warm_up",
]
