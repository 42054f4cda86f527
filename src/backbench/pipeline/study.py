"""A question joined with the features of one backbone and checkpoint: what heads are trained on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.backbones import called
from backbench.features import Features
from backbench.folds import FoldPlan
from backbench.heads import Problem
from backbench.pipeline.question import Question, plan_of
from backbench.runs import tags
from backbench.samples import Samples
from backbench.tasks import Protocol, Task

_NOT_OF_A_UNIT = ("seeds", "metrics", "max_error_fraction")
_NOT_HASHED = ("samples", "expect")


@dataclass(frozen=True)
class Study:
    """One (task, variant, backbone, checkpoint, head): its units are folds x seeds.

    Attributes:
        question: what is asked.
        backbone, checkpoint: as they were named.
        features: of `samples`, in their order.
        samples: those of the question that have features.
    """

    question: Question
    backbone: str
    checkpoint: str
    features: Features
    samples: Samples

    @classmethod
    def of(cls, question: Question, backbone: str, checkpoint: str, features: Features) -> "Study":
        """Keep the samples that have features; of series, the pictures that have."""
        asked = question.samples
        rows = np.flatnonzero(np.isin(asked.pictures.ids, features.ids))
        if len(rows) == len(asked.pictures):
            samples = asked
        elif asked.series:
            samples = replace(asked, series=asked.series.with_pictures(rows))
        else:
            samples = asked.subset(rows)
        return cls(question, backbone, checkpoint, features, samples)

    @cached_property
    def plan(self) -> FoldPlan:
        """All folds of the task."""
        whole = self.samples is self.question.samples
        return self.question.plan if whole else plan_of(self.question.task, self.samples)

    @cached_property
    def problem(self) -> Problem:
        """What heads are trained on."""
        samples = self.samples
        classes, folds = len(samples.outcomes), len(self.plan)
        return Problem(self.features.X, samples.y, classes, folds, samples.series)

    def picture_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the features that belong to these samples, sorted."""
        series = self.samples.series
        return np.sort(rows) if series is None else series.pictures_of(rows)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the samples: ids, labels, groups, contents."""
        contents = zip(self.features.ids.tolist(), self.features.contents, strict=True)
        return self.samples.fingerprint(dict(contents))

    @cached_property
    def protocol(self) -> Protocol:
        """What has to be equal for two studies to be compared."""
        folds = self.plan.fingerprint(self.samples.ids.tolist())
        return Protocol.of(self.question.task, samples=self.fingerprint, folds=folds)

    @cached_property
    def unit_key(self) -> str:
        """16 hexadecimal digits over what a unit's numbers depend on, seed and fold apart."""
        fields = {k: v for k, v in self.protocol.fields.items() if not k.startswith(_NOT_OF_A_UNIT)}
        text = json.dumps([self.features.key, fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def tags(self, stage: str) -> dict[str, Any]:
        """The tags that every run of this study carries."""
        task = self.question.task
        return {
            tags.STAGE: stage,
            tags.TASK: task.name,
            tags.TASK_VERSION: task.version,
            tags.TASK_HASH: task_hash(self.question.own),
            tags.VARIANT: task.variant,
            tags.BACKBONE: self.backbone,
            tags.CHECKPOINT: self.checkpoint,
            tags.HEAD: task.head["kind"],
            tags.PROTOCOL: self.protocol.hash,
            tags.UNIT: self.unit_key,
            tags.FEATURES: self.features.key,
            tags.SAMPLES: self.fingerprint,
        }

    def params(self) -> Mapping[str, str]:
        """Resolved settings under their own prefix, beside the options as they were given."""
        resolved = {f"task.{name}": value for name, value in self.protocol.fields.items()}
        return {
            "task": self.question.source,
            "backbone": self.backbone,
            "checkpoint": self.checkpoint,
            **resolved,
        }

    @property
    def dataset(self) -> tuple[str, str, str]:
        """Name, digest and source of the samples, as MLflow's data set input takes them."""
        return self.samples.name, self.fingerprint, self.question.task.samples

    @property
    def name(self) -> str:
        """What people call it: `clip`, or `clip finetuned.pt`."""
        return called(self.backbone, self.checkpoint)


def task_hash(task: Task) -> str:
    """16 hexadecimal digits over a task as its file has it, to notice a file that was changed.

    Where the samples are and how many are expected is left out: their fingerprint tells more.
    """
    kept = {name: value for name, value in asdict(task).items() if name not in _NOT_HASHED}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
