"""A run while it is being recorded: what is logged to it, and the record it becomes."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from backbench.errors import TrackingError
from backbench.files import atomic
from backbench.runs import pages, spool, tags
from backbench.runs.record import (
    LONGEST_PARAM,
    LONGEST_TAG,
    Dataset,
    Point,
    Record,
    file_name,
    is_defined,
    metric_key,
)
from backbench.runs.redact import redacted


class Recording:
    """A run being recorded. Nothing of it is visible before it ends, then all of it.

    Attributes:
        identity: its name for ever, on every server.
        run_id: of the MLflow run: known from the start where `mlflow run` made one, else after
            the end; `spool:<identity>` while it waits in the spool; empty where it is kept nowhere.
        experiment_id: of the MLflow experiment, after the end, where the server has the run.
    """

    def __init__(
        self,
        draft: spool.Draft,
        *,
        identity: str,
        parent: "Recording | None" = None,
        adopts: str | None = None,
        start: float | None = None,
    ) -> None:
        self.identity, self.parent = identity, parent
        self.run_id = adopts or f"spool:{identity}"
        self.experiment_id: str | None = None
        self.tags: dict[str, str] = {}
        self.params: dict[str, str] = {}
        self.note = ""
        self.has_children = False
        self.adopts, self.draft = adopts, draft
        self._points: list[Point] = []
        self._undefined: dict[str, int] = {}
        self._dataset: Dataset | None = None
        self._start = _now() if start is None else int(start * 1000)

    @property
    def is_on_server(self) -> bool:
        """Whether the server has it in full."""
        return self.experiment_id is not None

    @property
    def link(self) -> str | None:
        """Its web page, where there is a server and it is there."""
        if self.experiment_id is None:
            return None
        return pages.ui_link(self.experiment_id, self.run_id, pages.ui_root())

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """One value; NaN and infinities are counted in the tag `undefined` instead."""
        key, value = metric_key(name), float(value)
        if is_defined(value):
            self._points.append(Point(key, value, int(step or 0), _now()))
        else:
            self._undefined[key] = self._undefined.get(key, 0) + 1

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Several values of the same step."""
        for name, value in values.items():
            self.log_metric(name, value, step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Settings; one longer than MLflow takes goes to the artifact `params/<name>.txt`."""
        for name, value in params.items():
            self.params[metric_key(name)] = self._fit("params", name, str(value), LONGEST_PARAM)

    def set_tags(self, given: Mapping[str, object]) -> None:
        """Tags; None leaves one out, and an unknown `backbench.` tag is an error."""
        for name, value in tags.checked(given).items():
            self.tags[name] = self._fit("tags", name, value, LONGEST_TAG)

    def set_note(self, markdown: str) -> None:
        """The description on the run's page."""
        self.note = self._fit("notes", "note", markdown, LONGEST_TAG)

    def artifact(self, name: str) -> Path:
        """Where to write the artifact `name`, which may have folders in it.

        Raises:
            TrackingError: a name that leaves the folder of artifacts.
        """
        path = (self.draft.artifacts / name).resolve()
        if not path.is_relative_to(self.draft.artifacts.resolve()):
            raise TrackingError(f"the artifact name '{name}' leaves the run; use a relative one.")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def attach(self, source: Path, name: str | None = None) -> Path:
        """Copy a finished file among the artifacts, by default under its own name."""
        return Path(shutil.copyfile(source, self.artifact(name or source.name)))

    def dataset(self, name: str, digest: str, source: str, profile: str = "") -> None:
        """The one data set the run was made from; a digest longer than 36 characters is cut."""
        self._dataset = Dataset(name, digest[:36], source, profile)

    def _fit(self, folder: str, name: str, value: str, longest: int) -> str:
        if len(value) <= longest:
            return value
        place = f"{folder}/{file_name(name)}.txt"
        atomic.write_text(self.artifact(place), redacted(value))
        ending = f"\n... ({len(value)} characters; all of them in the artifact {place})"
        return value[: longest - len(ending)] + ending

    def record(self, experiment: str, name: str, status: str, reason: str | None) -> Record:
        """All of it as plain data, once it has ended."""
        undefined = _json(self._undefined) if self._undefined else None
        self.set_tags({tags.REASON: reason, tags.UNDEFINED: undefined})
        parent = self.parent
        known = parent.run_id if parent and not parent.run_id.startswith("spool:") else None
        return Record(
            identity=self.identity,
            experiment=os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment,
            experiment_id=os.environ.get("MLFLOW_EXPERIMENT_ID"),
            name=name,
            start=self._start,
            end=max(_now(), self._start),
            status=status,
            tags=self.tags,
            params=self.params,
            metrics=tuple(self._points),
            note=self.note,
            dataset=self._dataset,
            parent=parent.identity if parent else None,
            parent_run_id=known,
            has_children=self.has_children,
            adopts=self.adopts,
        )


def _json(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
