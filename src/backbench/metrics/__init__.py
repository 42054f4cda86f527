"""Numbers with what they rest on: metrics, intervals over groups, paired comparisons, ranks, power.

::

    Predictions --> kernels (sums per group) --> bootstrap of groups --> summarise
                                                      `--> differences on common draws
                                                               --> compare, rank, power
"""

from backbench.metrics.breakdown import confusion, confusion_per_seed, per_class, per_group
from backbench.metrics.comparison import compare, compare_pairs
from backbench.metrics.power import Power, power
from backbench.metrics.predictions import Predictions
from backbench.metrics.ranking import Ranked, rank
from backbench.metrics.separation import Comparison, CorrectedT, holm
from backbench.metrics.table import METRICS, Metric, resolve
from backbench.metrics.uncertainty import Estimate, summarise

__all__ = [
    "METRICS",
    "Comparison",
    "CorrectedT",
    "Estimate",
    "Metric",
    "Power",
    "Predictions",
    "Ranked",
    "compare",
    "compare_pairs",
    "confusion",
    "confusion_per_seed",
    "holm",
    "per_class",
    "per_group",
    "power",
    "rank",
    "resolve",
    "summarise",
]
