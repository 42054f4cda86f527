"""How many more groups or seeds would separate two rows, from their observed paired spread.

The variance of the difference of two rows is split into three parts, each of which falls with a
different count (a two-way random-effects split of jackknife pseudo-values by group and seed):

- `between_groups`: the rows differ more on some groups than on others; falls with groups only;
- `training_noise`: the same group comes out differently with another seed; falls with groups x
  seeds;
- `between_seeds`: a seed is better or worse on all groups at once; falls with seeds only.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from backbench.errors import MetricError
from backbench.metrics.comparison import align, compare
from backbench.metrics.effective import FEWEST_KNOWN, LEVEL
from backbench.metrics.evidence import Evidence, Floats
from backbench.metrics.predictions import Predictions
from backbench.metrics.resampling import pseudo_values
from backbench.metrics.separation import Comparison
from backbench.metrics.table import Metric, resolve
from backbench.metrics.uncertainty import DRAWS, ROUNDING
from backbench.metrics.unseen import FEWEST, equal_signs

_SEEDS_FIRST = "the seeds differ too much; train more seeds first"
_GROUPS_FIRST = "the spread between groups alone hides the difference; add groups"


@dataclass(frozen=True)
class Power:
    """What it would take to separate two rows.

    Attributes:
        metric: its name.
        difference: observed, first row minus second; taken for the true one below.
        detectable: the smallest true difference (beyond `rope`) that data of the present size
            separates with the wanted power; NaN where none does, with fewer than 6 effective
            groups, or where the spread between groups is not known, since all show the same.
        separated: the present data separates the rows already.
        groups, seeds: there now; `seeds` is the smaller number of the two rows.
        more_groups: that many more, at the present seeds; None when no number suffices.
        more_seeds: that many more for each row, at the present groups; None when no number
            suffices.
        why_not_groups, why_not_seeds: the reason for a None, else empty.
        between_groups, training_noise, between_seeds: parts of the variance of the difference now,
            before the correction; the latter two are NaN with one seed, and all is
            `between_groups` then.
    """

    metric: str
    difference: float
    detectable: float
    separated: bool
    groups: int
    seeds: int
    more_groups: int | None
    more_seeds: int | None
    why_not_groups: str
    why_not_seeds: str
    between_groups: float
    training_noise: float
    between_seeds: float

    @property
    def advice(self) -> str:
        """How many more of what would separate the rows, or why no number does."""
        if (self.why_not_groups, self.why_not_seeds) == (_SEEDS_FIRST, _GROUPS_FIRST):
            return "neither more groups nor more seeds do it alone: add both"
        groups, seeds = self.more_groups, self.more_seeds
        return (
            f"more groups: {self.why_not_groups if groups is None else groups}; "
            f"more seeds: {self.why_not_seeds if seeds is None else seeds}"
        )


def power(
    a: Predictions,
    b: Predictions,
    metric: str,
    *,
    rope: float = 0.0,
    wanted: float = 0.8,
    family: int = 1,
    draws: int = DRAWS,
    seed: int = 0,
    test_to_train: float | None = None,
) -> Power:
    """How many more groups, or seeds, would separate two rows with probability `wanted`.

    The answer takes the observed difference for the true one. That is the best guess, but where the
    rows are close it is mostly noise: read it as an order of magnitude, and `detectable` as what
    the present data can do whatever the difference is.

    Args:
        a: predictions of one row.
        b: predictions of the same samples by the other.
        metric: see `resolve`.
        rope: as in `compare`.
        wanted: the probability of a verdict `better` or `worse`, between 0.5 and 1.
        family: number of comparisons on the board, for the level 0.05 / family.
        draws: resamples for the present verdict.
        seed: of the resampling.
        test_to_train: as in `compare`; taken to stay what it is.

    Raises:
        MetricError: as `compare`, or `wanted` or `family` out of range.
    """
    if not (0.5 <= wanted < 1 and family >= 1):
        raise MetricError(
            f"power {wanted} over {family} comparisons; give 0.5 <= power < 1 and 1 or more."
        )
    rows = align({"a": a, "b": b})
    now = compare(a, b, metric, draws=draws, seed=seed, rope=rope, test_to_train=test_to_train)
    parts = _parts(rows["a"], rows["b"], resolve(metric, a.classes))
    seeds = min(len(a.seeds), len(b.seeds))
    spread = float(np.sqrt(np.nansum(parts)))
    known = spread > ROUNDING * abs(now.difference)
    reach = _reach(now.effective, wanted, family) if known else float("nan")
    allowed = (max(abs(now.difference) - rope, 0) / reach) ** 2 / now.correction
    p = max(now.p_alone * family, equal_signs(now.effective))  # as on the board
    separated = p < 1 - LEVEL
    groups, no_groups = _more_groups(parts, allowed, now)
    more, no_seeds = _more_seeds(parts, allowed, seeds, now)
    return Power(
        metric=now.metric,
        difference=now.difference,
        detectable=_detectable(rope, reach * spread * now.correction**0.5, now.effective),
        separated=separated,
        groups=now.groups,
        seeds=seeds,
        more_groups=0 if separated else groups,
        more_seeds=0 if separated else more,
        why_not_groups="" if separated else no_groups,
        why_not_seeds="" if separated else no_seeds,
        between_groups=parts[0],
        training_noise=parts[1],
        between_seeds=parts[2],
    )


_Parts = tuple[float, float, float]


def _parts(a: Predictions, b: Predictions, metric: Metric) -> _Parts:
    """Variance of the difference: between groups, training noise, between seeds."""
    of_a, of_b = (_pseudo(row, metric) for row in (a, b))
    mean = of_a.mean(axis=0) - of_b.mean(axis=0)
    total = float(mean.var(ddof=1) / len(mean)) if len(mean) > 1 else float("nan")
    if min(len(of_a), len(of_b), len(mean)) < 2:
        return total, float("nan"), float("nan")
    scattered = [of_a - of_b] if a.seeds == b.seeds else [of_a, of_b]
    noise = sum(_noise(one) for one in scattered)
    seeds = sum(_between_seeds(one) for one in scattered)
    return max(total - noise, 0.0), min(noise, total), seeds


def _pseudo(row: Predictions, metric: Metric) -> Floats:
    """Pseudo-values of each seed and unit `[S, U]`."""
    evaluators = [metric.kernel(Evidence.of(row, seed)) for seed in range(len(row.seeds))]
    return pseudo_values(evaluators, len(row.group_names))


def _noise(pseudo: Floats) -> float:
    """Interaction of seed and unit, as a variance of the mean over both."""
    seeds, units = pseudo.shape
    rest = pseudo - pseudo.mean(axis=0) - pseudo.mean(axis=1, keepdims=True) + pseudo.mean()
    return float((rest**2).sum() / ((seeds - 1) * (units - 1)) / (seeds * units))


def _between_seeds(pseudo: Floats) -> float:
    """Main effect of the seed, as a variance of the mean over seeds; never below 0."""
    means = pseudo.mean(axis=1)
    return max(float(means.var(ddof=1)) / len(means) - _noise(pseudo), 0.0)


def _reach(groups: float, wanted: float, family: int) -> float:
    """Standard errors between no difference and one found with probability `wanted`."""
    from scipy.special import ndtri, stdtrit

    if groups < FEWEST_KNOWN:
        return float("nan")
    return float(stdtrit(groups - 1, 1 - (1 - LEVEL) / 2 / family) + ndtri(wanted))


def _detectable(rope: float, beyond: float, groups: float) -> float:
    return rope + beyond if round(groups) >= FEWEST else float("nan")


def _more_groups(parts: _Parts, allowed: float, now: Comparison) -> tuple[int | None, str]:
    if np.isnan(allowed):
        return None, _not_known(now)
    left = allowed - float(np.nan_to_num(parts[2]))
    if allowed == 0:
        return None, "no difference was observed beyond the rope"
    if left <= 0:
        return None, _SEEDS_FIRST
    wanted = now.groups * float(np.nansum(parts[:2])) / left
    fewest = now.groups * FEWEST / now.effective  # as uneven as those that are there
    return max(ceil(wanted) - now.groups, ceil(fewest) - now.groups, 1), ""


def _more_seeds(
    parts: _Parts, allowed: float, seeds: int, now: Comparison
) -> tuple[int | None, str]:
    if seeds < 2:
        return None, "one seed only: how much seeds scatter is not known"
    if np.isnan(allowed):
        return None, _not_known(now)
    if not allowed > 0:
        return None, "no difference was observed beyond the rope"
    if round(now.effective) < FEWEST:
        return None, f"fewer than {FEWEST} groups never separate rows; add groups"
    left = allowed - parts[0]
    if left <= 0:
        return None, _GROUPS_FIRST
    needed = ceil(seeds * (parts[1] + parts[2]) / left)
    return max(needed - seeds, 1), ""


def _not_known(now: Comparison) -> str:
    why = "all groups show the same difference"
    if now.effective < FEWEST_KNOWN:
        why = "one group only" if now.groups < 2 else "nearly all of it rests on one group"
    return f"{why}: the spread between groups is not known"
