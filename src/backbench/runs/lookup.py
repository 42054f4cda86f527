"""Which runs of the server have which identity, asked one by one or for a stretch of time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backbench.runs import tags
from backbench.runs.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 200
MOST_PAGES = 3
"""A stretch with more runs than this is cheaper to ask one by one."""

_parents: dict[tuple[int, str], str] = {}


def is_whole(run: "Run") -> bool:
    """Whether everything of a run has arrived."""
    ended = run.info.status in ("FINISHED", "FAILED", "KILLED")
    return ended and run.data.tags.get(tags.RECORDED) == "true"


def with_identity(client: "MlflowClient", experiment: str, identity: str) -> "list[Run]":
    """Active runs of this identity; more than one only while two places send it."""
    wanted = f"tags.`{tags.IDENTITY}` = '{identity}'"
    return list(client.search_runs([experiment], wanted, max_results=100))


def in_stretch(
    client: "MlflowClient", experiments: Sequence[str], records: Sequence[Record]
) -> "dict[str, list[Run]] | None":
    """`identity -> runs` of all that began between the first and the last of `records`.

    None where those are too many: `records` may lie far apart.
    """
    starts = [record.start for record in records]
    wanted = (
        f"attributes.start_time >= {min(starts)} AND attributes.start_time <= {max(starts)} "
        f"AND tags.`{tags.IDENTITY}` LIKE '%'"
    )
    found: dict[str, list[Run]] = defaultdict(list)
    token = None
    for _ in range(MOST_PAGES):
        page = client.search_runs(list(experiments), wanted, max_results=PAGE, page_token=token)
        for run in page:
            found[run.data.tags[tags.IDENTITY]].append(run)
        token = page.token
        if not token:
            return found
    return None


def settled(client: "MlflowClient", record: Record, found: "Sequence[Run]") -> "Run | None":
    """The one run of a record; of several, all but one are deleted.

    The one that `mlflow run` made stays, else the smallest id. Nothing that changes with time may
    count: two places that looked at different moments have to decide alike, or each would delete
    the other's. Whoever deletes still has the record, so nothing goes with it.
    """
    ordered = sorted(found, key=lambda r: (r.info.run_id != record.adopts, r.info.run_id))
    for double in ordered[1:]:
        client.delete_run(double.info.run_id)
    return ordered[0] if ordered else None


def parent_run_id(client: "MlflowClient", experiment: str, record: Record) -> str | None:
    """Id of the run a record is a part of, once that is on the server."""
    if record.parent is None or record.parent_run_id:
        return record.parent_run_id
    key = (id(client), record.parent)
    if key not in _parents:
        found = with_identity(client, experiment, record.parent)
        if not found:
            return None  # it is sent later, and then looks for its children
        _parents[key] = found[0].info.run_id
    return _parents[key]
