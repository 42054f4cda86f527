"""Guards over predictions and runs: pure functions that return what fired, or None.

Those over features, folds and transforms are in `audits`.
"""

from collections.abc import Mapping

import numpy as np

from backbench.leaderboard.entry import Entry
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.words import listed, metric_label, score
from backbench.metrics import Estimate, Predictions
from backbench.metrics.comparison import align
from backbench.metrics.effective import LEVEL
from backbench.metrics.unseen import equal_signs

_CONSTANT = 0.999


def constant_predictor(predictions: Predictions) -> Guard | None:
    """One class is predicted for (practically) everybody, in some seed."""
    answers = predictions.scored.y_pred
    shares = [np.bincount(seed).max() / len(seed) for seed in answers]
    share = float(max(shares))
    if share < _CONSTANT or len(predictions.classes) < 2:
        return None
    seed = int(np.argmax(shares))
    name = predictions.classes[int(np.bincount(answers[seed]).argmax())]
    return Guard(
        "constant_predictor",
        f"predicts '{name}' for {share:.1%} of the samples (seed {predictions.seeds[seed]}).",
        share,
        "fault",
    )


def identical_predictions(
    rows: Mapping[str, Predictions], weights: Mapping[str, str] | None = None
) -> dict[str, Guard]:
    """Rows whose probabilities are equal in every sample and seed, in whichever order, by row.

    Args:
        rows: predictions by the name of their row.
        weights: hash of the weights of rows that differ in nothing else, where it is known; equal
            ones are no fault.

    Raises:
        MetricError: no rows that can be paired, as `align`.
    """
    same: dict[bytes, list[str]] = {}
    for name, row in align(rows).items():
        same.setdefault(row.probabilities.tobytes(), []).append(name)
    return {
        name: _identical([n for n in names if n != name], one_file=len(hashes) == 1)
        for names in same.values()
        if len(names) > 1
        for hashes in [{(weights or {}).get(name, name) for name in names}]
        for name in names
    }


def _identical(others: list[str], *, one_file: bool) -> Guard:
    found, count = f"predictions are identical to those of {listed(others)}", float(len(others) + 1)
    if one_file:
        message = f"{found}: the weights are, too, by their hash."
        return Guard("identical_predictions", message, count, "warning")
    message = f"{found}: were the weights really loaded?"
    return Guard("identical_predictions", message, count, "fault")


def chance_level(estimate: Estimate, chance: float) -> Guard | None:
    """The interval reaches down to what guessing scores."""
    if not np.isfinite(chance) or _beats(estimate, chance):
        return None
    return Guard(
        "chance_level",
        f"{_said(estimate)} cannot be told from guessing ({chance:.3f}).",
        estimate.value,
        "fault",
    )


def permuted_labels(estimate: Estimate, chance: float) -> Guard:
    """The leakage self-test: with labels shuffled, a score above chance is a leak."""
    if _beats(estimate, chance):
        return Guard(
            "permuted_labels",
            f"labels were permuted, yet {_said(estimate)} is better than guessing ({chance:.3f}): "
            "something leaks from test to training, or it is the luck that one shuffle in 40 has; "
            "another one tells: --set permute_labels=2 instead of --permute-labels.",
            estimate.value,
            "fault",
        )
    return Guard(
        "permuted_labels",
        f"labels were permuted and it scores like guessing ({chance:.3f}), as it should.",
        estimate.value,
        "note",
    )


def task_changed(entry: Entry, version: int, task_hash: str) -> Guard | None:
    """The task file is no longer the one the run was made with; the arguments are of today's."""
    if entry.task_version != version:
        what = f"version {entry.task_version} then, {version} now"
    elif entry.task_hash and task_hash and entry.task_hash != task_hash:
        then, now = entry.task_hash[:8], task_hash[:8]
        what = f"still version {version}, but hash {then} then, {now} now"
    else:
        return None
    message = f"the task file was changed after this run: {what}."
    return Guard("task_changed", message, float(entry.task_version), "warning")


def _beats(estimate: Estimate, chance: float) -> bool:
    """By its interval; of what has none, the same loss in all groups, by so many equal signs."""
    low, high = estimate.low, estimate.high
    if np.isnan(low) and equal_signs(estimate.effective) < 1 - LEVEL:
        low = high = estimate.value
    return low > chance if estimate.higher_is_better else high < chance


def _said(estimate: Estimate) -> str:
    label = metric_label(estimate.metric)
    return f"{label} {score(estimate.value, estimate.low, estimate.high)}"
