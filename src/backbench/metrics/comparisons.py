"""Comparisons made together: columns, each line of which becomes a `Comparison` when looked at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backbench.metrics.drawn import Pairs, Values, superiority
from backbench.metrics.evidence import Floats
from backbench.metrics.separation import (
    VERDICTS,
    Comparison,
    Separated,
    Terms,
    corrected_resampled_t,
)


@dataclass(frozen=True, eq=False)
class Comparisons(Mapping[tuple[str, str], Comparison]):
    """Pairs of names -> row a against row b; either of a pair may be asked for as the first.

    Attributes:
        names: of the rows.
        pairs: of these rows.
        rows: their values.
        separated: what was found of the pairs.
        terms: of all comparisons.
    """

    names: tuple[str, ...]
    pairs: Pairs
    rows: Values
    separated: Separated
    terms: Terms

    def __getitem__(self, pair: tuple[str, str]) -> Comparison:
        """The first of the pair against the second."""
        found, terms = self.seen([pair]), self.terms
        values = self.rows.at(np.array([self._place[name] for name in pair]))
        return Comparison(
            metric=terms.metric.name,
            difference=found.difference.item(),
            low=found.low.item(),
            high=found.high.item(),
            standard_error=found.standard_error.item(),
            bootstrap_error=found.bootstrap_error.item(),
            correction=found.correction,
            p_value=found.p_value.item(),
            p_alone=found.p_alone.item(),
            p_adjusted=found.p_adjusted.item(),
            family=len(self.pairs),
            superiority=_superiority(*values.draws, higher=terms.metric.higher_is_better),
            verdict=VERDICTS[found.verdict.item()],
            rope=terms.rope,
            groups=terms.groups,
            effective=terms.effective,
            seed_std=_seed_std(*values.by_seed),
            corrected_t=corrected_resampled_t(
                values.by_fold[0] - values.by_fold[1], terms.test_to_train
            ),
            higher_is_better=terms.metric.higher_is_better,
        )

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The pairs as they were asked for."""
        return iter(self._line)

    def __len__(self) -> int:
        """P."""
        return len(self.pairs)

    def seen(self, pairs: Sequence[tuple[str, str]]) -> Separated:
        """What was found of Q pairs, the first of each against the second, as columns `[Q]`."""
        turned = [pair not in self._line for pair in pairs]
        lines = [
            self._line[pair[::-1] if back else pair]
            for pair, back in zip(pairs, turned, strict=True)
        ]
        return self.separated.seen(np.array(lines, np.int64), np.array(turned, bool))

    def by_fold(self, name: str) -> Floats:
        """A row's values by fold, seeds averaged, NaN where undefined `[J]`."""
        values: Floats = self.rows.by_fold[self._place[name]]
        return values

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def _line(self) -> dict[tuple[str, str], int]:
        return {(self.names[a], self.names[b]): i for i, (a, b) in enumerate(self.pairs.tolist())}


def _superiority(a: Floats, b: Floats, *, higher: bool) -> float:
    return superiority(a, b) if higher else superiority(b, a)


def _seed_std(a: Floats, b: Floats) -> float:
    return float((a - b).std(ddof=1)) if len(a) == len(b) > 1 else float("nan")
