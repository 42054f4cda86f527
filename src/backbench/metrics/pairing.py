"""Whether two rows hold the same samples, and one order for both."""

import numpy as np

from backbench.metrics.predictions import Integers, Predictions
from backbench.metrics.timeline import Timeline


def differences(a: Predictions, b: Predictions) -> list[str]:
    """Why two sets of predictions cannot be paired, in words; empty when they can."""
    if a.classes != b.classes:
        return [f"classes ({', '.join(a.classes)} and {', '.join(b.classes)})"]
    if not np.array_equal(a.sample_id, b.sample_id):
        only_a, only_b = (np.setdiff1d(x.sample_id, y.sample_id) for x, y in ((a, b), (b, a)))
        if only_a.size or only_b.size:
            example = (only_a if only_a.size else only_b)[0]
            sizes = f"{only_a.size} only in the first, {only_b.size} only in the second"
            return [f"sample ids ({sizes}, such as '{example}')"]
    b = ordered_like(a, b)
    found = []
    for field in ("group", "y_true", "fold"):
        differ = np.flatnonzero(getattr(a, field) != getattr(b, field))
        if differ.size:
            found.append(f"{field} ({differ.size} samples, such as '{a.sample_id[differ[0]]}')")
    return found + _differing_times(a.timeline, b.timeline)


def _differing_times(a: Timeline | None, b: Timeline | None) -> list[str]:
    if a is None or b is None:
        return [] if a is b else ["timeline (only one has it)"]
    return a.differing(b)


def ordered_like(a: Predictions, b: Predictions) -> Predictions:
    """`b` in the order of `a`; both hold the same samples."""
    return b if np.array_equal(a.sample_id, b.sample_id) else b.take(order_like(a, b))


def order_like(a: Predictions, b: Predictions) -> Integers:
    """Row numbers that bring `b` into the order of `a`; both hold the same samples."""
    rank = np.argsort(b.sample_id, kind="stable")
    return rank[np.searchsorted(b.sample_id[rank], a.sample_id)].astype(np.int64)
