"""One record to one MLflow run, however often and from wherever it is sent."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backbench.errors import TrackingError
from backbench.runs import tags
from backbench.runs.connection import connect, tracking_uri, translated, turn
from backbench.runs.record import ARTIFACTS, Point, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

METRICS_A_BATCH = 1000
OTHERS_A_BATCH = 100
PARENT_RUN_ID = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """Where a record went; `how` is new, resumed or there (nothing had to be done)."""

    run_id: str
    experiment_id: str
    how: str


def replay(folder: Path, *, unseen: bool = False) -> Sent:
    """Send the record in a spool directory to the server and see that all of it has arrived.

    Args:
        folder: holds `record.json` and `artifacts/`; nothing in it is changed.
        unseen: nobody can have sent it before, so the server need not be searched for it.

    Raises:
        TrackingError: the server does not answer or refuses; what has arrived is resumed next time.
    """
    record, uri = Record.read(folder), tracking_uri()
    client = connect()
    with translated(uri), turn(uri):
        sent = _Replay(client, record, folder / ARTIFACTS).run(unseen=unseen)
        _check_arrived(client, sent.run_id, record, folder / ARTIFACTS)
        return sent


def find_identity(
    client: "MlflowClient", experiment_ids: Sequence[str], identity: str
) -> "list[Run]":
    """Active runs with this identity."""
    found = client.search_runs(
        list(experiment_ids), f"tags.`{tags.IDENTITY}` = '{identity}'", max_results=100
    )
    return list(found)


def is_whole(run: "Run") -> bool:
    """Whether everything of a run has arrived."""
    ended = run.info.status in ("FINISHED", "FAILED", "KILLED")
    return ended and run.data.tags.get(tags.RECORDED) == "true"


class _Replay:
    def __init__(self, client: "MlflowClient", record: Record, artifacts: Path) -> None:
        self.client, self.record, self.artifacts = client, record, artifacts
        self.experiment = experiment_id(client, record)

    def run(self, *, unseen: bool) -> Sent:
        run = self._adopted() or (None if unseen else self._present())
        if run is not None and is_whole(run):
            return Sent(run.info.run_id, run.info.experiment_id, "there")
        how = "new" if run is None else "resumed"
        if run is None:
            run = self._create()
            # Another place may have made the same run at the same moment: one of them stays.
            run = run if unseen else self._present() or run
        self._fill(run)
        return Sent(run.info.run_id, run.info.experiment_id, how)

    def _adopted(self) -> "Run | None":
        from mlflow.exceptions import MlflowException

        if self.record.adopts is None:
            return None
        try:
            run = self.client.get_run(self.record.adopts)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _present(self) -> "Run | None":
        """The run with this identity; of several, all but one are deleted.

        A run that is whole stays before one that is not, then the smaller id: every place decides
        alike. Whoever deletes still has the record, so nothing is lost with a deleted run.
        """
        found = find_identity(self.client, [self.experiment], self.record.identity)
        found.sort(key=lambda run: (not is_whole(run), run.info.run_id))
        for double in found[1:]:
            self.client.delete_run(double.info.run_id)
        return found[0] if found else None

    def _create(self) -> "Run":
        return self.client.create_run(
            self.experiment,
            start_time=self.record.start,
            run_name=self.record.name,
            tags=self._tags(),
        )

    def _tags(self) -> dict[str, str]:
        parent = self.record.parent_run_id or self._parent()
        own = dict(self.record.tags)
        own |= {PARENT_RUN_ID: parent} if parent else {}
        return own | ({NOTE: self.record.note} if self.record.note else {})

    def _parent(self) -> str | None:
        if self.record.parent is None:
            return None
        found = find_identity(self.client, [self.experiment], self.record.parent)
        return found[0].info.run_id if found else None

    def _fill(self, run: "Run") -> None:
        """Everything but creation; the tag `recorded` comes after all else, the status last."""
        run_id = run.info.run_id
        self._upload(run)
        self._log_dataset(run_id)
        self._log_values(run)
        self.client.set_terminated(run_id, self.record.status, self.record.end)
        if self.record.has_children:
            self._link_children(run_id)

    def _upload(self, run: "Run") -> None:
        here = local_files(self.artifacts)
        if not here:
            return
        there = remote_files(self.client, run.info.run_id, here) if self._is_resumed(run) else {}
        missing = [name for name, size in here.items() if there.get(name, -1) != size]
        if len(missing) == len(here):
            self.client.log_artifacts(run.info.run_id, str(self.artifacts))
            return
        for name in missing:
            folder = posixpath.dirname(name) or None
            self.client.log_artifact(run.info.run_id, str(self.artifacts / name), folder)

    def _is_resumed(self, run: "Run") -> bool:
        return bool(run.data.metrics or run.data.params) or run.info.run_id == self.record.adopts

    def _log_dataset(self, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = self.record.dataset
        if data is None:
            return
        source_type = "s3" if data.source.startswith("s3://") else "local"
        dataset = Dataset(
            data.name, data.digest, source_type, data.source, profile=data.profile or None
        )
        context = InputTag("mlflow.data.context", self.record.tags.get(tags.STAGE, "evaluation"))
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])

    def _log_values(self, run: "Run") -> None:
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(p.key, p.value, p.time, p.step) for p in self._new_points(run)]
        params = [Param(k, v) for k, v in self._new_params(run).items()]
        last = {tags.RECORDED: "true"}
        for batch in _chunks(points, METRICS_A_BATCH):
            self.client.log_batch(run.info.run_id, metrics=batch)
        for batch in _chunks(params, OTHERS_A_BATCH):
            self.client.log_batch(run.info.run_id, params=batch)
        known = dict(run.data.tags)
        wanted = [(k, v) for k, v in (self._tags() | last).items() if known.get(k) != v]
        for group in _chunks([RunTag(k, v) for k, v in wanted], OTHERS_A_BATCH):
            self.client.log_batch(run.info.run_id, tags=group)

    def _new_points(self, run: "Run") -> list[Point]:
        """Those not there yet: a store need not drop a point that is logged twice."""
        there = {
            (m.key, m.step, m.timestamp, m.value)
            for key in {p.key for p in self.record.metrics} & set(run.data.metrics)
            for m in self.client.get_metric_history(run.info.run_id, key)
        }
        return [p for p in self.record.metrics if (p.key, p.step, p.time, p.value) not in there]

    def _new_params(self, run: "Run") -> dict[str, str]:
        """`mlflow run` has logged params of its own: ours of the same name become `resolved.*`."""
        there, new = run.data.params, {}
        for key, value in self.record.params.items():
            name = f"resolved.{key}" if there.get(key, value) != value else key
            if name not in there:
                new[name] = value
        return new

    def _link_children(self, run_id: str) -> None:
        children = self.client.search_runs(
            [self.experiment], f"tags.`{tags.PARENT}` = '{self.record.identity}'"
        )
        for child in children:
            if child.data.tags.get(PARENT_RUN_ID) != run_id:
                self.client.set_tag(child.info.run_id, PARENT_RUN_ID, run_id)


def experiment_id(client: "MlflowClient", record: Record) -> str:
    """The record's experiment on this server, made where it is missing.

    Raises:
        TrackingError: it was deleted there.
    """
    from mlflow.exceptions import MlflowException

    if record.experiment_id and (known := _active(client, record.experiment_id)):
        return known
    found = client.get_experiment_by_name(record.experiment)
    if found is None:
        try:
            return str(client.create_experiment(record.experiment))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(record.experiment)
    if found is None or found.lifecycle_stage != "active":
        number = found.experiment_id if found else "ID"
        raise TrackingError(
            f"the experiment '{record.experiment}' is deleted on this server. Restore it "
            f"(mlflow experiments restore -x {number}) or name another: MLFLOW_EXPERIMENT_NAME."
        )
    return str(found.experiment_id)


def _active(client: "MlflowClient", number: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment(number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return number if found.lifecycle_stage == "active" else None


def local_files(folder: Path) -> dict[str, int]:
    """`relative/posix/path -> size` of every file below a folder."""
    if not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def remote_files(
    client: "MlflowClient", run_id: str, like: Mapping[str, Any]
) -> dict[str, int | None]:
    """Files of a run in the folders that `like` has files in, with sizes (None: not told)."""
    folders = {posixpath.dirname(name) for name in like}
    listed = (info for folder in sorted(folders) for info in client.list_artifacts(run_id, folder))
    return {info.path: info.file_size for info in listed if not info.is_dir}


def _check_arrived(client: "MlflowClient", run_id: str, record: Record, artifacts: Path) -> None:
    here = local_files(artifacts)
    there = remote_files(client, run_id, here) if here else {}
    lost = [f"artifact {n}" for n, size in here.items() if there.get(n, -1) not in (size, None)]
    run = client.get_run(run_id)
    lost += [f"metric {k}" for k, v in record.latest.items() if run.data.metrics.get(k) != v]
    params = set(run.data.params)
    lost += [f"param {k}" for k in record.params if not {k, f"resolved.{k}"} & params]
    lost += [] if run.info.lifecycle_stage == "active" and is_whole(run) else ["the run itself"]
    if lost:
        raise TrackingError(
            f"run {run_id} was sent, but the server lacks {lost[0]} ({len(lost)} missing in all). "
            "It stays in the spool; run `backbench sync` again."
        )


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
