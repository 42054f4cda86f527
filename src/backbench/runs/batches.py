"""Metrics, params and tags packed into as few requests as MLflow's limits allow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backbench.runs.record import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST = {"metrics": 900, "params": 100, "tags": 100}
MOST_TOGETHER = 900
MOST_BYTES = 500_000
"""MLflow refuses a request over a million bytes; a character can take more than one."""
_OVERHEAD = 120


@dataclass
class _Batch:
    items: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in MOST})
    size: int = 0

    def has_room(self, kind: str, size: int) -> bool:
        count = sum(map(len, self.items.values()))
        fits = len(self.items[kind]) < MOST[kind] and count < MOST_TOGETHER
        return fits and (self.size + size <= MOST_BYTES or not count)

    def add(self, kind: str, item: object, size: int) -> None:
        self.items[kind].append(item)
        self.size += size


def log_all(
    client: "MlflowClient",
    run_id: str,
    points: Sequence[Point],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Log everything; the last tag arrives after all else."""
    from mlflow.entities import Metric, Param, RunTag

    entities: list[tuple[str, object, int]] = []
    entities += [("params", Param(k, v), _size(k, v)) for k, v in params.items()]
    entities += [
        ("metrics", Metric(p.key, p.value, p.time, p.step), _size(p.key, "")) for p in points
    ]
    entities += [("tags", RunTag(k, v), _size(k, v)) for k, v in tags.items()]
    for items in _packed(entities):
        client.log_batch(run_id, **items)


def _packed(entities: Sequence[tuple[str, object, int]]) -> Iterator[dict[str, list[Any]]]:
    batch = _Batch()
    for kind, item, size in entities:
        if not batch.has_room(kind, size):
            yield batch.items
            batch = _Batch()
        batch.add(kind, item, size)
    if batch.size:
        yield batch.items


def _size(key: str, value: str) -> int:
    return len(key) + len(value) + _OVERHEAD
