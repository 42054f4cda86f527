"""One row a metric: its direction, its definition in words, and when it has no value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backbench.errors import MetricError, unknown
from backbench.metrics import classification
from backbench.metrics.auroc import auroc_ovr
from backbench.metrics.evidence import Evidence, Kernel
from backbench.metrics.fold_mean import fold_mean
from backbench.metrics.onset import onset_error

FOLD_MEAN = "_fold_mean"
_AUC = (
    "Area under the ROC curve of the second class, ties counting half. Pooling scores of different "
    "folds can bias it: see auc_fold_mean."
)
_ONE_CLASS = "only one class among the samples"


@dataclass(frozen=True)
class Metric:
    """A metric of decisions or probabilities.

    Attributes:
        name: as a task file spells it.
        higher_is_better: the direction that ranks.
        unit: `share` (0 to 1), `nats` or `days`.
        definition: in words, with the source.
        undefined: the reason given where there is no value.
        kernel: reduces samples to sums per group, see `evidence`.
        form: over all samples pooled, or the mean over folds of each fold's value.
        over: it averages over samples, over classes, or is about the class of this code.
    """

    name: str
    higher_is_better: bool
    unit: Literal["share", "nats", "days"]
    definition: str
    undefined: str
    kernel: Kernel
    form: Literal["pooled", "fold_mean"] = "pooled"
    over: Literal["samples", "classes"] | int = "samples"

    def function(self, y: NDArray[np.int64], p: NDArray[np.floating]) -> float:
        """The metric of one set of samples; NaN where it is undefined.

        Args:
            y: class codes `[N]`.
            p: probabilities `[N, C]`.
        """
        nothing = np.zeros(len(y), np.int64)
        evidence = Evidence(y, p[None], p.argmax(axis=1)[None], nothing, nothing, 1)
        return float(self.kernel(evidence)(np.ones((1, 1)))[0])


_ROWS = (
    Metric(
        "accuracy", True, "share", "Correct samples over all samples, all folds pooled.",
        "no samples", classification.accuracy,
    ),
    Metric(
        "balanced_accuracy", True, "share",
        "Mean recall over the classes that occur, so that every class weighs the same.",
        "no samples", classification.balanced_accuracy, over="classes",
    ),
    Metric(
        "macro_f1", True, "share",
        "Mean over the classes that occur or are predicted of F1 = 2 TP / (2 TP + FP + FN), counts "
        "pooled over all folds (Forman and Scholz 2010).",
        "no samples", classification.macro_f1, over="classes",
    ),
    Metric(
        "weighted_f1", True, "share",
        "Mean of the classes' F1 from pooled counts, weighted by how often each class occurs.",
        "no samples", classification.weighted_f1,
    ),
    Metric(
        "auroc_ovr", True, "share",
        "Area under the ROC curve of each class against the rest, ties counting half, mean over "
        "the classes that have both; with two classes, of the second. Pooling scores of different "
        "folds can bias it: see auroc_ovr_fold_mean.",
        _ONE_CLASS, auroc_ovr, over="classes",
    ),
    Metric(
        "log_loss", False, "nats",
        "Mean of -ln p(true class), p not below 1.19e-7.",
        "no samples", classification.log_loss,
    ),
    Metric(
        "ece", False, "share",
        "Expected calibration error: |accuracy - confidence| averaged over 15 equal bins of the "
        "top probability (Guo et al. 2017). Few samples bias it upwards.",
        "no samples", classification.expected_calibration_error,
    ),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {row.name: row for row in _ROWS}
"""The rows that every task has; `resolve` knows the forms made from them too."""

_ONSET = Metric(
    "onset_mae_days", False, "days",
    "Mean over the series with an onset of |day said - onset|; the day said is that of the "
    "first step, scored or not, at which the second class is more probable, or the last day.",
    "no series has an onset", onset_error,
)  # fmt: skip

_PER_CLASS: Mapping[str, tuple[Callable[[int], Kernel], str, str]] = {
    "f1": (
        classification.f1_of,
        "F1 of class '{}', 2 TP / (2 TP + FP + FN) from pooled counts; 0 where all three are 0.",
        "no samples",
    ),
    "precision": (
        classification.precision_of,
        "TP / (TP + FP) of class '{}' from pooled counts.",
        "the class is never predicted",
    ),
    "recall": (
        classification.recall_of,
        "TP / (TP + FN) of class '{}' from pooled counts.",
        "the class does not occur",
    ),
}


def resolve(name: str, classes: Sequence[str]) -> Metric:
    """The metric of a name.

    Args:
        name: a row of `METRICS`; `f1_<class>`, `precision_<class>` or `recall_<class>`; with two
            classes also `f1`, `precision`, `recall`, `auc`, which mean those of the second class;
            of series of two classes `onset_mae_days`; each also with `_fold_mean` behind it.
        classes: the names of the task's classes, in the order of their codes.

    Raises:
        MetricError: names the nearest valid name.
    """
    names = _pooled(classes)
    if name in names:
        return names[name]()
    stem = name.removesuffix(FOLD_MEAN)
    if stem == name or stem not in names:
        near = [stem + FOLD_MEAN for stem in names] if "fold" in name else names
        hint = f" Each also as <name>{FOLD_MEAN}, the mean over folds." if near is names else ""
        raise MetricError(unknown("metric", name, near) + hint)
    return _over_folds(names[stem]())


def _pooled(classes: Sequence[str]) -> dict[str, Callable[[], Metric]]:
    made: dict[str, Callable[[], Metric]] = {}
    for prefix in _PER_CLASS:
        for code, label in enumerate(classes):
            made[f"{prefix}_{label}"] = partial(_of_class, prefix, code, label)
        if len(classes) == 2:
            made[prefix] = partial(_of_class, prefix, 1, classes[1], prefix)
    if len(classes) == 2:
        made["auc"] = partial(replace, METRICS["auroc_ovr"], name="auc", definition=_AUC)
        made[_ONSET.name] = partial(replace, _ONSET)
    return made | {name: partial(replace, row) for name, row in METRICS.items()}


def _of_class(prefix: str, code: int, label: str, name: str = "") -> Metric:
    kernel, definition, undefined = _PER_CLASS[prefix]
    words = definition.format(label)
    return Metric(
        name or f"{prefix}_{label}", True, "share", words, undefined, kernel(code), over=code
    )


def _over_folds(metric: Metric) -> Metric:
    return replace(
        metric,
        name=metric.name + FOLD_MEAN,
        definition=f"Mean over the folds where it is defined of the fold's {metric.name}, seeds "
        f"averaged inside the fold. {metric.definition}",
        kernel=fold_mean(metric.kernel),
        form="fold_mean",
    )
