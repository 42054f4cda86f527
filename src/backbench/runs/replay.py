"""One record to one MLflow run, however often and from wherever it is sent."""

import random
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from backbench.errors import ForbiddenError, TrackingError, UnreachableError
from backbench.files.s3_address import is_s3
from backbench.runs import tags
from backbench.runs.batches import log_all
from backbench.runs.connection import connect, tracking_uri, translated, turn
from backbench.runs.experiments import experiment_id
from backbench.runs.files_of_run import ArtifactStore, local_files
from backbench.runs.lookup import is_whole, parent_run_id, settled, with_identity
from backbench.runs.problems import as_one_line, status_of
from backbench.runs.record import ARTIFACTS, Point, Record
from backbench.runs.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Run

ATTEMPTS = 3
PARENT_RUN_ID = "mlflow.parentRunId"
NOTE = "mlflow.note.content"


def replay(folder: Path, *, unseen: bool = False) -> "Replay":
    """Send the record in a spool directory to the server and see that all of it has arrived.

    Args:
        folder: holds `record.json` and `artifacts/`; nothing in it is changed.
        unseen: nobody can have sent it before, so the server need not be searched for it.

    Raises:
        TrackingError: the server does not answer or refuses; what has arrived is resumed next time.
    """
    uri = tracking_uri()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with translated(uri):
                client = connect()
                with turn(uri):
                    return _replay(Replay(client, folder, uri), unseen=unseen)
        except (UnreachableError, ForbiddenError):
            raise
        except TrackingError:
            # Two processes that make the same row at the same moment are told apart by the
            # database refusing one of them; the second time the row is there.
            if attempt == ATTEMPTS:
                raise
            unseen = False
            time.sleep(random.uniform(0.05, 0.3) * attempt)  # noqa: S311 - not for secrets
    raise AssertionError("the last attempt returns or raises")


def _replay(one: "Replay", *, unseen: bool) -> "Replay":
    def found() -> "list[Run]":
        return with_identity(one.client, one.experiment, one.record.identity)

    one.send([] if unseen else found())
    one.check([one.client.get_run(one.run_id)] if unseen else found())
    return one


class Replay:
    """One record on its way to a server.

    Attributes:
        run_id, experiment_id: where it went, once sent.
        how: new, resumed or there (nothing had to be done).
    """

    def __init__(self, client: "MlflowClient", folder: Path, uri: str) -> None:
        self.client, self.folder, self.uri = client, folder, uri
        self.record = Record.read(folder)
        self.artifacts = folder / ARTIFACTS
        self.here = local_files(self.artifacts)
        self.experiment = experiment_id(client, self.record)
        self.run_id, self.experiment_id, self.how = "", "", "new"

    def send(self, found: "Sequence[Run]") -> None:
        """Make the run, or continue one of those `found` with its identity."""
        run = self._adopted() or settled(self.client, self.record, found)
        if run is None:
            run = self._create()
            self._fill(run, fresh=True)
        elif is_whole(run) and not self._lacking(run):
            self.how = "there"
        else:
            self.how = "resumed"
            self._fill(run, fresh=False)
        self.run_id, self.experiment_id = run.info.run_id, run.info.experiment_id

    def check(self, found: "Sequence[Run]") -> None:
        """See that the one run that stays is this one, and that it lacks nothing.

        Args:
            found: the runs of this identity as the server has them now.

        Raises:
            TrackingError: another place sends the same record, or something has not arrived.
        """
        adopted = [] if self.record.adopts != self.run_id else [self.client.get_run(self.run_id)]
        run = settled(self.client, self.record, adopted or found)
        if run is None or run.info.run_id != self.run_id:
            raise TrackingError(
                f"'{self.record.name}' is being sent from another place at the same time; "
                "run `backbench sync` again."
            )
        if lacking := self._lacking(run):
            raise TrackingError(
                f"run {self.run_id} was sent, but {redacted(self.uri)} lacks {lacking[0]} "
                f"({len(lacking)} missing in all); run `backbench sync` again."
            )

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

    def _create(self) -> "Run":
        from mlflow.exceptions import MlflowException

        try:
            return self.client.create_run(
                self.experiment,
                start_time=self.record.start,
                run_name=self.record.name,
                tags=self._tags(),
            )
        except MlflowException as error:
            if status_of(error) == HTTPStatus.FORBIDDEN:
                raise ForbiddenError(str(as_one_line(error, self.uri))) from error
            raise

    def _tags(self) -> dict[str, str]:
        parent = parent_run_id(self.client, self.experiment, self.record)
        own = dict(self.record.tags)
        own |= {PARENT_RUN_ID: parent} if parent else {}
        return own | ({NOTE: self.record.note} if self.record.note else {})

    def _fill(self, run: "Run", *, fresh: bool) -> None:
        """Artifacts, then values, then the tag `recorded`, and the status last."""
        run_id = run.info.run_id
        store = ArtifactStore(run, self.uri)
        missing = self.here if fresh else store.lacking(self.here)
        store.upload(self.artifacts, missing, len(self.here))
        self._log_dataset(run_id)
        points = self.record.metrics if fresh else self._new_points(run)
        own_tags = {} if fresh else self._new_tags(run)
        last = {tags.RECORDED: "true"}
        log_all(self.client, run_id, points, self._new_params(run), own_tags | last)
        self.client.set_terminated(run_id, self.record.status, self.record.end)
        if self.record.has_children:
            self._link_children(run_id)

    def _log_dataset(self, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = self.record.dataset
        if data is None:
            return
        kind = "s3" if is_s3(data.source) else "local"
        dataset = Dataset(data.name, data.digest, kind, data.source, profile=data.profile or None)
        context = InputTag("mlflow.data.context", self.record.tags.get(tags.STAGE, "run"))
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])

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

    def _new_tags(self, run: "Run") -> dict[str, str]:
        own = {"mlflow.runName": self.record.name} | self._tags()
        return {k: v for k, v in own.items() if run.data.tags.get(k) != v}

    def _link_children(self, run_id: str) -> None:
        wanted = f"tags.`{tags.PARENT}` = '{self.record.identity}'"
        for child in self.client.search_runs([self.experiment], wanted):
            if child.data.tags.get(PARENT_RUN_ID) != run_id:
                self.client.set_tag(child.info.run_id, PARENT_RUN_ID, run_id)

    def _lacking(self, run: "Run") -> list[str]:
        """What of the record the server does not have, in words."""
        there = run.data
        lacking = [f"artifact {n}" for n in ArtifactStore(run, self.uri).lacking(self.here)]
        lacking += [f"metric {k}" for k in self.record.latest if k not in there.metrics]
        names = set(there.params)
        lacking += [f"param {k}" for k in self.record.params if not {k, f"resolved.{k}"} & names]
        return lacking + ([] if is_whole(run) else ["its end"])
