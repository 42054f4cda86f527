"""How far training can move a weight from where it begins."""

from collections.abc import Mapping
from math import ceil, inf, sqrt
from typing import Any

from backbench.heads.settings import LinearSettings, MlpSettings, values
from backbench.heads.table import settings_of


def reach(table: Mapping[str, Any], rows: int, width: int) -> float:
    """In units of the range that weights are drawn from at the start; infinite without epochs.

    A step of AdamW moves a weight by about the learning rate, whose mean along the cosine is half
    the peak, and weights begin within 1 / sqrt(D): `sum of rates * sqrt(D)`. Below 1 a head is
    still mostly its random start, whatever the features are.

    Args:
        table: a task's `[head]` table.
        rows: N, all samples.
        width: D.

    Raises:
        HeadError, TaskError: as `settings_of`.
    """
    settings = settings_of(table)
    if not isinstance(settings, LinearSettings | MlpSettings):
        return inf
    steps = settings.epochs * ceil(rows / settings.batch_size)
    return max(values(settings.lr)) / 2 * steps * sqrt(width)
