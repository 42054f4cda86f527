"""Which samples are trained on, validated on and tested on, fold by fold."""

from backbench.folds.fold import Fold, FoldPlan, check_disjoint
from backbench.folds.schemes import plan_folds

__all__ = ["Fold", "FoldPlan", "check_disjoint", "plan_folds"]
