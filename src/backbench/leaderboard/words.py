"""The same words and digits in every rendering of the board."""

import math
from collections.abc import Sequence

from backbench.metrics.table import FOLD_MEAN

VERDICTS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "not separated": "tied",
}
GUARDS = {
    "constant_predictor": "constant predictor",
    "identical_predictions": "identical predictions",
    "chance_level": "no better than guessing",
    "permuted_labels": "labels permuted",
    "task_changed": "task file changed",
    "features_not_finite": "NaN in features",
    "features_zero_variance": "constant features",
    "features_duplicated": "duplicated features",
    "undertrained": "hardly trained",
    "near_duplicates": "near-duplicates across folds",
    "group_on_both_sides": "group on both sides",
    "coverage_loss": "samples lost",
    "transform_fitted_on_test_rows": "transform fitted on test rows",
}
_LABELS = {
    "auroc_ovr": "AUROC",
    "ece": "calibration error",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "f1": "F1",
    "auc": "AUC",
    "onset_mae_days": "onset MAE in days",
}
_AXIS = {"backbones": "backbone", "variants": "variant", "heads": "head"}


def metric_label(name: str) -> str:
    """A metric's name as people write it: `auc_fold_mean` is `AUC, mean over folds`."""
    stem = name.removesuffix(FOLD_MEAN)
    tail = "" if stem == name else ", mean over folds"
    for prefix in ("f1_", "precision_", "recall_"):
        if stem.startswith(prefix):
            return f"{metric_label(prefix[:-1])} of {stem.removeprefix(prefix)}{tail}"
    return _LABELS.get(stem, stem.replace("_", " ")) + tail


def guard_label(name: str) -> str:
    """A guard's name in words."""
    return GUARDS.get(name, name.replace("_", " "))


def axis_word(compare: str) -> str:
    """What one row is called: backbone, variant or head."""
    return _AXIS[compare]


def rank_text(first: int, last: int) -> str:
    """`2`, or `1-3` where the data cannot separate the places."""
    return str(first) if first == last else f"{first}-{last}"


def digits_for(values: Sequence[float]) -> int:
    """Decimals that suit a metric: 3 for shares, fewer for large numbers such as days."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 3 if largest < 10 else 1


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Fixed decimals, with `+` before what is not negative if asked; undefined is a dash."""
    return f"{value:{sign}z.{digits}f}" if math.isfinite(value) else "-"


def interval(low: float, high: float, digits: int = 3, sign: str = "") -> str:
    """`[0.961, 0.982]`, or nothing where it is undefined."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits, sign)}, {number(high, digits, sign)}]"


def score(value: float, low: float, high: float, digits: int = 3, sign: str = "") -> str:
    """`0.972 [0.961, 0.982]`, or of a difference `+0.010 [-0.002, +0.022]`."""
    return f"{number(value, digits, sign)} {interval(low, high, digits, sign)}".rstrip()


def listed(names: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; a long list ends with how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
