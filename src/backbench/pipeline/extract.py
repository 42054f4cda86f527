"""extract: the features of a task's samples, computed once and findable by key from anywhere."""

import time
from pathlib import Path

from backbench.errors import FeatureError
from backbench.features import Features, UnreadableSamplesError
from backbench.features import extract as compute
from backbench.files import atomic
from backbench.pipeline.console import console, say
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.question import Question, Speed
from backbench.runs import Recording, Tracker, environment, recording, tags

STAGE = "extract"
ERRORS = "data_errors.csv"
_FOLDER = "features"


def extract(
    question: Question,
    backbone: str,
    checkpoint: str,
    *,
    speed: Speed | None = None,
    adopt: bool = False,
) -> Features:
    """Compute what is missing, record it, and return the features of all readable samples.

    Args:
        question: whose samples.
        backbone: a row of the table or an open form.
        checkpoint: a published name, a file or an s3:// key.
        speed: how to compute.
        adopt: continue the run that `mlflow run` began.

    Raises:
        BackboneError, FeatureError: no such weights, or too many unreadable samples.
    """
    started = time.time()
    features = _compute(question, backbone, checkpoint, speed or Speed())
    about = _tags(question, backbone, checkpoint, features)
    held = Tracker().find({tags.STAGE: STAGE, tags.FEATURES: features.key}, limit=1)
    if held and adopt:
        note = f"Nothing to do: run {held[0].run_id} holds these features."
        with continued(question.task.name, f"extract {backbone}", about, note):
            pass
    elif not held:
        with recording(
            experiment=question.task.name,
            name=f"extract {backbone}",
            tags=about,
            params={"task": question.source, "backbone": backbone, "checkpoint": checkpoint},
            adopt=adopt,
            start=started,
        ) as run:
            _log(run, question, features)
    say(_summary(backbone, checkpoint, features))
    return features


def _compute(question: Question, backbone: str, checkpoint: str, speed: Speed) -> Features:
    try:
        return compute(
            question.samples,
            backbone,
            checkpoint,
            precision=speed.precision,
            batch_size=speed.batch_size,
            workers=speed.workers,
            verify=speed.verify,
            max_error_fraction=question.task.max_error_fraction,
            remote=from_another_machine,
            console=console,
        )
    except UnreadableSamplesError as error:
        with atomic.replacing(Path(ERRORS)) as temporary:
            error.errors.to_csv(temporary, index=False)
        raise FeatureError(f"{error} All of them are listed in {ERRORS}.") from error


def from_another_machine(identity_key: str) -> Path | None:
    """The newest feature file of the same vector space that any run has logged."""
    tracker = Tracker()
    found = tracker.find({tags.STAGE: STAGE, tags.IDENTITY_KEY: identity_key}, limit=1)
    return next(iter(tracker.download(found[0], _FOLDER).glob("*.h5")), None) if found else None


def _tags(
    question: Question, backbone: str, checkpoint: str, features: Features
) -> dict[str, object]:
    return {
        tags.STAGE: STAGE,
        tags.TASK: question.task.name,
        tags.TASK_VERSION: question.task.version,
        tags.BACKBONE: backbone,
        tags.CHECKPOINT: checkpoint,
        tags.FEATURES: features.key,
        tags.IDENTITY_KEY: features.identity_key,
        tags.WEIGHTS: features.provenance["identity"]["weights"],
        tags.COMPLETE: True,
    }


def _log(run: Recording, question: Question, features: Features) -> None:
    run.attach(features.path, f"{_FOLDER}/{features.path.name}")
    run.log_metrics(
        {
            "samples_asked": len(question.samples),
            "samples_used": len(features.ids),
            "samples_unreadable": len(features.errors),
            "width": features.X.shape[1],
        }
    )
    for name in ("images_per_second", "parameters"):
        if name in features.provenance:
            run.log_metric(name, features.provenance[name])
    atomic.write_json(run.artifact("provenance.json"), features.provenance)
    atomic.write_json(run.artifact("environment.json"), environment())
    features.errors.to_csv(run.artifact(ERRORS), index=False)
    run.dataset(question.samples.name, features.key, question.task.samples)


def _summary(backbone: str, checkpoint: str, features: Features) -> str:
    name = backbone if checkpoint == "default" else f"{backbone} {checkpoint}"
    how = f"{features.computed} computed, {features.reused} there already"
    lost = f", {len(features.errors)} unreadable" if len(features.errors) else ""
    return f"extract   {name}: {len(features.ids)} x {features.X.shape[1]} features ({how}{lost})"
