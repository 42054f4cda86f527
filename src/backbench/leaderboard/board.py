"""The board: comparable entries ranked with what the data cannot separate, written once.

Every rendering (`render`, `picture`, `latex`, `page`) reads a `Board` and computes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np

from backbench.files.kept import Kept
from backbench.leaderboard import guards as look
from backbench.leaderboard.asked import Asked
from backbench.leaderboard.comparable import Axis, Unranked, select
from backbench.leaderboard.entry import Entry
from backbench.leaderboard.guard import Guard, merged
from backbench.leaderboard.guessing import chance
from backbench.leaderboard.row import Row
from backbench.leaderboard.row_names import NAMED_BY, row_names
from backbench.leaderboard.words import digits_for
from backbench.metrics import (
    Comparison,
    Estimate,
    Metric,
    Predictions,
    compare_pairs,
    resolve,
    summarise,
)
from backbench.metrics.comparison import all_pairs
from backbench.metrics.comparisons import Comparisons
from backbench.metrics.ranking import ranked
from backbench.metrics.uncertainty import DRAWS
from backbench.tasks import Protocol, Task


@dataclass(frozen=True, eq=False)
class Board:
    """Everything that a rendering shows.

    Attributes:
        task: the question.
        compare: what distinguishes rows: backbones, variants or heads.
        metrics: shown, the primary one first.
        rows: from the best to the worst.
        pairs: each two rows; either may be asked for as the first. None without rows.
        unranked: what is listed without a rank.
        chance: what guessing scores in the primary metric; NaN where that has no meaning.
        protocol: of the rows; None without rows.
        draws: of the bootstrap.
        seed: of its resampling.
        departs: where the rows do not answer the task as its file has it, in words: another head,
            a variant, fields that were set.
        outdated: that later runs have other samples than the rows, and what to do, as a sentence.
    """

    task: Task
    compare: Axis
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    pairs: Comparisons | None
    unranked: tuple[Unranked, ...]
    chance: float
    protocol: Protocol | None
    draws: int
    seed: int
    departs: tuple[str, ...] = ()
    outdated: str = ""

    @property
    def primary(self) -> str:
        """Name of the metric that ranks."""
        return self.task.metrics.primary

    @property
    def champion_candidate(self) -> Row | None:
        """The best row without a fault, if there is one.

        None also where one above it may be guessing as far as its groups tell: what is doubted of
        the higher score cannot be known of the lower.
        """
        best = next((row for row in self.rows if not row.flagged), None)
        above = takewhile(lambda row: row is not best, self.rows)
        return None if any(row.faults == ["chance_level"] for row in above) else best

    def digits(self, metric: str) -> int:
        """Decimals to show."""
        return self._digits[metric]

    @cached_property
    def _digits(self) -> dict[str, int]:
        names = [metric.name for metric in self.metrics]
        values = {name: [row.estimates[name].value for row in self.rows] for name in names}
        return {name: digits_for(values[name]) for name in names}

    @cached_property
    def varying(self) -> list[str]:
        """What distinguishes rows: of backbone, checkpoint, variant and head those that differ."""
        entries = [row.entry for row in self.rows]
        return [name for name in NAMED_BY if len({getattr(e, name) for e in entries}) > 1]

    def comparison(self, a: str, b: str) -> Comparison:
        """Row a against row b of a board with rows, whichever is higher."""
        assert self.pairs is not None
        return self.pairs[a, b]

    @property
    def family(self) -> int:
        """How many comparisons were made together, 1 at least."""
        return len(self.pairs) if self.pairs else 1


def build_board(
    entries: Iterable[Entry],
    task: Task,
    *,
    compare: Axis = "backbones",
    draws: int = 10_000,
    seed: int = 0,
    asked: Asked | None = None,
    protocol: Protocol | None = None,
    task_hash: str = "",
    kept: Kept | None = None,
) -> Board:
    """Rank what may be compared and list the rest.

    The board does not depend on the order of the entries.

    Args:
        entries: one for each evaluate run.
        task: resolved; gives the primary metric, those shown beside it and the rope.
        compare: what may differ between rows besides backbone and checkpoint.
        draws: resamples of the groups.
        seed: of the resampling.
        asked: what the rows have to answer; by default the task, whichever runs are nearest.
        protocol: rank the entries of this protocol; without it the set nearest to what is asked
            is taken, see `comparable.select`.
        task_hash: of the task file today, to notice one changed after its runs.
        kept: what earlier boards computed, see `compare_pairs`; the board is the same without it.

    Raises:
        MetricError: the task names a metric that does not exist for its classes.
    """
    asked = asked or Asked.of(task)
    chosen = select(entries, asked, compare=compare, protocol=protocol)
    named = row_names(chosen.ranked, compare)
    rows = {name: _predictions(entry) for name, entry in named.items()}
    if not rows:
        return Board(task, compare, (), (), None, chosen.unranked, float("nan"), None, draws, seed)
    metrics = _metrics(task, next(iter(rows.values())))
    primary = metrics[0].name
    pairs = compare_pairs(
        rows, all_pairs(rows), primary, draws=draws, seed=seed, rope=task.metrics.rope, kept=kept
    )
    places = ranked(pairs)
    order = [place.name for place in places]
    guessed = chance(metrics[0], rows[order[0]], seed=seed)
    estimates = {name: _estimates(named[name], metrics, draws, seed) for name in order}
    found = _guards(named, rows, {n: e[primary] for n, e in estimates.items()}, guessed)
    lines = tuple(
        Row(
            place.name,
            named[place.name],
            place.first,
            place.last,
            estimates[place.name],
            pairs[place.name, order[0]] if place.name != order[0] else None,
            merged([*found[place.name], *_changed(named[place.name], task, task_hash)]),
        )
        for place in places
    )
    return Board(
        task, compare, metrics, lines, pairs, chosen.unranked, guessed, chosen.protocol, draws, seed
    )


def _predictions(entry: Entry) -> Predictions:
    assert entry.predictions is not None
    return entry.predictions


def _metrics(task: Task, row: Predictions) -> tuple[Metric, ...]:
    names = dict.fromkeys((task.metrics.primary, *task.metrics.report))
    return tuple(resolve(name, row.classes) for name in names)


def _estimates(
    entry: Entry, metrics: Sequence[Metric], draws: int, seed: int
) -> dict[str, Estimate]:
    """Those the run brought, where it drew as the board does; the others are computed."""
    brought = entry.estimates if (draws, seed) == (DRAWS, 0) else {}
    names = [metric.name for metric in metrics]
    missing = [name for name in names if name not in brought]
    made = summarise(_predictions(entry), missing, draws=draws, seed=seed) if missing else []
    known = {**brought, **{estimate.metric: estimate for estimate in made}}
    return {name: known[name] for name in names}


def _guards(
    named: Mapping[str, Entry],
    rows: Mapping[str, Predictions],
    primary: Mapping[str, Estimate],
    guessed: float,
) -> dict[str, list[Guard]]:
    same = look.identical_predictions(rows, _weights(named))
    found = {}
    for name, entry in named.items():
        fired = [look.constant_predictor(rows[name]), same.get(name)]
        fired.append(_against_chance(primary[name], guessed, entry.protocol))
        found[name] = [*entry.guards, *(guard for guard in fired if guard)]
    return found


def _weights(named: Mapping[str, Entry]) -> dict[str, str]:
    """Of rows that are checkpoints under one and the same variant and head."""
    asked = {(entry.variant, entry.head) for entry in named.values()}
    known = {name: entry.lineage.get("weights", "unknown") for name, entry in named.items()}
    return {n: w for n, w in known.items() if w != "unknown"} if len(asked) == 1 else {}


def _against_chance(estimate: Estimate, guessed: float, protocol: Protocol) -> Guard | None:
    if protocol.fields.get("permute_labels", "false") != "false" and np.isfinite(guessed):
        return look.permuted_labels(estimate, guessed)
    return look.chance_level(estimate, guessed)


def _changed(entry: Entry, task: Task, task_hash: str) -> list[Guard]:
    found = look.task_changed(entry, task.version, task_hash)
    return [found] if found else []
