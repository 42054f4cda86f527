"""Kernels of the metrics of one decision a sample, each with its definition's source."""

from collections.abc import Callable, Sequence

import numpy as np

from backbench.metrics.evidence import (
    Evaluator,
    Evidence,
    Floats,
    Kernel,
    OfSums,
    mean_defined,
    mean_ratio,
    ratio,
    total,
)

ECE_BINS = 15
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def accuracy(evidence: Evidence) -> Evaluator:
    """Correct samples over all samples."""
    right = (evidence.predicted == evidence.y).mean(axis=0)
    return _mean_of(evidence, right)


def log_loss(evidence: Evidence) -> Evaluator:
    """Mean of -ln p(true class), p not below float32's machine epsilon (1.19e-7), in nats."""
    p = evidence.p[:, np.arange(len(evidence.y)), evidence.y].astype(np.float64)
    loss = -np.log(np.maximum(p, SMALLEST_PROBABILITY))
    return _mean_of(evidence, loss.mean(axis=0))


def expected_calibration_error(evidence: Evidence) -> Evaluator:
    """Guo et al. 2017, eq. 3: |accuracy - confidence| over 15 equal bins of the top probability.

    A bin is open below and closed above; it weighs as many samples as it holds.
    """
    seeds, bins = len(evidence.p), ECE_BINS
    confidence = evidence.p.max(axis=2).astype(np.float64)
    gap = (evidence.predicted == evidence.y) - confidence
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.hstack([evidence.per_cell(at[s], bins, gap[s]) for s in range(seeds)])
    sizes = np.bincount(evidence.cell, minlength=evidence.cells)

    def formula(apart: Floats, samples: Floats) -> Floats:
        return ratio(total(np.abs(apart), 0) / seeds, samples)

    return OfSums((gaps, sizes), formula)


def balanced_accuracy(evidence: Evidence) -> Evaluator:
    """Mean recall over the classes that occur (Brodersen et al. 2010)."""
    return _from_hits(evidence, lambda n, hit: mean_ratio(hit, n, 1))


def macro_f1(evidence: Evidence) -> Evaluator:
    """Mean F1 over the classes that occur or are predicted, from pooled counts."""
    return _from_counts(evidence, lambda n, said, hit: 2 * mean_ratio(hit, n + said, 1))


def weighted_f1(evidence: Evidence) -> Evaluator:
    """Mean F1 weighted by how often each class occurs, from pooled counts."""

    def formula(n: Floats, said: Floats, hit: Floats) -> Floats:
        f1 = np.nan_to_num(ratio(2 * hit, n + said))
        return ratio(total(f1 * n, 1), total(n, 1))

    return _from_counts(evidence, formula)


def f1_of(code: int) -> Kernel:
    """F1 of one class, 2 TP / (2 TP + FP + FN) from pooled counts; 0 when all three are 0."""

    def formula(n: Floats, said: Floats, hit: Floats) -> Floats:
        f1 = np.nan_to_num(ratio(2 * hit[:, code], (n + said)[:, code]))
        return np.where(total(n, 1) > 0, f1, np.nan)

    return lambda evidence: _from_counts(evidence, formula)


def recall_of(code: int) -> Kernel:
    """TP / (TP + FN) of one class."""
    return lambda evidence: _from_hits(evidence, lambda n, hit: ratio(hit[:, code], n[:, code]))


def precision_of(code: int) -> Kernel:
    """TP / (TP + FP) of one class."""
    return lambda evidence: _from_counts(
        evidence, lambda _, said, hit: ratio(hit[:, code], said[:, code])
    )


def _mean_of(evidence: Evidence, values: Floats) -> Evaluator:
    """Evaluator of a plain mean over samples of `values` `[N]`."""
    sums = np.bincount(evidence.cell, weights=values, minlength=evidence.cells)
    sizes = np.bincount(evidence.cell, minlength=evidence.cells)
    both = np.column_stack([sums, sizes])
    return OfSums((both,), lambda weighted: ratio(*weighted))


_OfHits = Callable[[Floats, Floats], Floats]
_OfCounts = Callable[[Floats, Floats, Floats], Floats]


def _from_hits(evidence: Evidence, formula: _OfHits) -> Evaluator:
    """Evaluator of a formula of counts that no false positive is in.

    Args:
        evidence: the samples.
        formula: true counts `[1, C, B]` and hits `[S, C, B]` -> `[S, B]`; the draws come last, so
            that operations run along rows of memory.
    """
    return _of_tables(evidence.classes, [_true(evidence), _hits(evidence)], formula)


def _from_counts(evidence: Evidence, formula: _OfCounts) -> Evaluator:
    """As `_from_hits`, of true counts, predicted counts `[S, C, B]` and hits."""
    tables = [_true(evidence), _said(evidence), _hits(evidence)]
    return _of_tables(evidence.classes, tables, formula)


def _of_tables(
    classes: int, tables: Sequence[Sequence[Floats]], formula: Callable[..., Floats]
) -> Evaluator:
    """Evaluator of a formula of weighted tables `[G, C]`, averaged over seeds."""
    stacked = np.hstack([table for kind in tables for table in kind])
    ends = np.cumsum([len(kind) for kind in tables])[:-1].tolist()

    def of_counts(weighted: Floats) -> Floats:
        counts = weighted.reshape(-1, classes, weighted.shape[1])
        return mean_defined(formula(*np.split(counts, ends)), 0)

    return OfSums((stacked,), of_counts)


def _true(evidence: Evidence) -> list[Floats]:
    return [evidence.per_cell(evidence.y, evidence.classes, np.ones(len(evidence.y)))]


def _said(evidence: Evidence) -> list[Floats]:
    ones = np.ones(len(evidence.y))
    return [evidence.per_cell(row, evidence.classes, ones) for row in evidence.predicted]


def _hits(evidence: Evidence) -> list[Floats]:
    y, classes = evidence.y, evidence.classes
    return [evidence.per_cell(row, classes, row == y) for row in evidence.predicted]
