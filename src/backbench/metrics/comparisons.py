"""Comparisons made together: columns, each line of which becomes a `Comparison` when looked at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from backbench.metrics.drawn import Pairs, Values, superiority
from backbench.metrics.evidence import Floats
from backbench.metrics.separation import (
    VERDICTS,
    Comparison,
    CorrectedTs,
    Separated,
    Terms,
    Verdict,
    corrected_resampled_t,
)

_TURNED: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True, eq=False)
class Comparisons(Mapping[tuple[str, str], Comparison]):
    """Pairs of names -> row a against row b; either of a pair may be asked for as the first.

    Attributes:
        names: of the rows.
        pairs: positions of row a and row b.
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
        if pair in self._line:
            return self._comparison(self._line[pair])
        return flipped(self._comparison(self._line[pair[::-1]]))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The pairs as they were asked for."""
        return iter(self._line)

    def __len__(self) -> int:
        """P."""
        return len(self.pairs)

    @cached_property
    def _line(self) -> dict[tuple[str, str], int]:
        return {(self.names[a], self.names[b]): i for i, (a, b) in enumerate(self.pairs)}

    @cached_property
    def _corrected_t(self) -> CorrectedTs:
        a, b = np.array(self.pairs).T
        by_fold = self.rows.by_fold
        return corrected_resampled_t(by_fold[a] - by_fold[b], self.terms.test_to_train)

    def _comparison(self, line: int) -> Comparison:
        found, terms = self.separated, self.terms
        a, b = self.pairs[line]
        return Comparison(
            metric=terms.metric.name,
            difference=float(found.difference[line]),
            low=float(found.low[line]),
            high=float(found.high[line]),
            standard_error=float(found.standard_error[line]),
            bootstrap_error=float(found.bootstrap_error[line]),
            correction=found.correction,
            p_value=float(found.p_value[line]),
            p_adjusted=float(found.p_adjusted[line]),
            family=len(self.pairs),
            superiority=self._superiority(a, b),
            verdict=VERDICTS[found.verdict[line]],
            rope=terms.rope,
            groups=terms.groups,
            seed_std=_seed_std(self.rows.by_seed[a], self.rows.by_seed[b]),
            corrected_t=self._corrected_t[line],
            higher_is_better=terms.metric.higher_is_better,
        )

    def _superiority(self, a: int, b: int) -> float:
        ahead, behind = (a, b) if self.terms.metric.higher_is_better else (b, a)
        return superiority(self.rows.draws[ahead], self.rows.draws[behind])


def flipped(one: Comparison) -> Comparison:
    """The same comparison seen from the other row."""
    t = one.corrected_t
    return replace(
        one,
        difference=-one.difference,
        low=-one.high,
        high=-one.low,
        superiority=1 - one.superiority,
        verdict=_TURNED.get(one.verdict, one.verdict),
        corrected_t=replace(t, t=-t.t) if t else None,
    )


def _seed_std(a: Floats, b: Floats) -> float:
    return float((a - b).std(ddof=1)) if len(a) == len(b) > 1 else float("nan")
