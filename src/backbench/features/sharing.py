"""Many processes, one task: what a neighbour has finished leaves the queue."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from backbench.features.shards import ShardedFile


@dataclass(frozen=True)
class Unclaimed:
    """Batches of pending rows, without those that another process finishes meanwhile.

    Alone, the order is that of the samples. Once another process's rows turn up, the rest is walked
    through in an order of chance, also where those rows are done here too: two that began together
    would go on side by side.

    Attributes:
        file: where finished rows turn up.
        ids: sample ids `[N]`.
        pending: rows of the samples to compute.
        size: pictures a batch.
        session: of this process, whose own rows tell nothing.
        exact: only rows computed without short cuts count as finished.
        every: seconds between two looks, at least.
        share: of the time that looking may take.
    """

    file: ShardedFile
    ids: list[str]
    pending: list[int]
    size: int
    session: str
    exact: bool = False
    every: float = 5.0
    share: float = 0.02

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row numbers, as they are asked for."""
        rest = [self.pending[i : i + self.size] for i in range(0, len(self.pending), self.size)]
        before, cost = self._look()
        due = monotonic() + max(self.every, cost / self.share)
        while rest:
            yield rest.pop(0)
            if monotonic() >= due:
                now, cost = self._look()
                due = monotonic() + max(self.every, cost / self.share)
                news = {name for name, session in now - before if session != self.session}
                if news:
                    rest = self._without(news, rest)
                before |= now

    def _look(self) -> tuple[set[tuple[str, str]], float]:
        """Sample and session of every row that counts, and the seconds it took to look."""
        start = monotonic()
        index = self.file.index()
        sessions = [str(each["id"]) for each in index.sessions]
        columns = (index.rows["sample_id"], index.rows["session"], index.exact)
        found = {
            (name, sessions[int(code)])
            for name, code, exact in zip(*columns, strict=True)
            if exact or not self.exact
        }
        return found, monotonic() - start

    def _without(self, done: set[str], rest: list[list[int]]) -> list[list[int]]:
        left = [[i for i in batch if self.ids[i] not in done] for batch in rest]
        random.shuffle(left)
        return [batch for batch in left if batch]
