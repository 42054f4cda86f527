"""extract: the features of a task's samples, computed once and findable by key from anywhere."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shlex import quote

import pandas as pd

from backbench.errors import FeatureError
from backbench.features import Features, UnreadableSamplesError, imported, stored
from backbench.features import extract as compute
from backbench.features.options import Remote
from backbench.files import atomic
from backbench.files.home import home
from backbench.pipeline.console import console, say
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.question import Question, Speed
from backbench.pipeline.study import Study
from backbench.runs import Recording, Run, Tracker, environment, recording, tags
from backbench.samples.source import NoFiles

STAGE = "extract"
ERRORS = "data_errors.csv"
_FOLDER = "features"
_FEW = 3
"""Runs of other machines whose files are looked into before computing; each is a download."""


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
        StorageError: `BACKBENCH_HOME` cannot be written.
    """
    atomic.check_folder(home())
    started = time.time()
    features = _features(question, backbone, checkpoint, speed or Speed())
    study = Study.of(question, backbone, checkpoint, features)
    about, name = _tags(study), f"extract {study.name}"
    held = Tracker().find({tags.STAGE: STAGE, tags.FEATURES: features.key}, limit=1)
    if held and adopt:
        note = f"Nothing to do: run {held[0].run_id} holds these features."
        with continued(question.task.name, name, about, note):
            pass
    elif not held:
        with recording(
            experiment=question.task.name,
            name=name,
            tags=about,
            params={"task": question.source, "backbone": backbone, "checkpoint": checkpoint},
            adopt=adopt,
            start=started,
        ) as run:
            _log(run, study)
    say(_summary(study, _listed(features.errors, question)))
    return features


def features_here(question: Question, backbone: str, checkpoint: str) -> Features | None:
    """The features of all readable samples, if nothing has to be computed or imported first.

    Raises:
        As `extract`.
    """
    pictures, allowed = question.samples.pictures, question.task.max_error_fraction
    if not pictures.has_files:
        return imported(pictures, backbone, checkpoint, max_error_fraction=allowed)
    return stored(
        pictures,
        backbone,
        checkpoint,
        max_error_fraction=allowed,
        remote=from_other_machines(question),
        console=console,
    )


def _features(question: Question, backbone: str, checkpoint: str, speed: Speed) -> Features:
    if question.samples.pictures.has_files:
        features = _compute(question, backbone, checkpoint, speed)
    else:
        features = imported_features(question, backbone, checkpoint)
    _check_width(question, backbone, features)
    return features


def imported_features(question: Question, backbone: str, checkpoint: str) -> Features:
    """The features of samples without picture files.

    Raises:
        FeatureError: none were imported; the line has the command that does it.
    """
    features = features_here(question, backbone, checkpoint)
    if features is None:
        source = question.samples.pictures.source
        why = f" ({source.why})" if isinstance(source, NoFiles) and source.why else ""
        raise FeatureError(
            f"the samples of '{question.task.name}' come without picture files{why}, and no "
            f"features of {backbone} {checkpoint} were imported: add the files, or import "
            f"features with: backbench features import FEATURES.h5 --layout nested "
            f"--task {quote(question.source)} --backbone {quote(backbone)} "
            f"--checkpoint {quote(checkpoint)}"
        )
    return features


def _check_width(question: Question, backbone: str, features: Features) -> None:
    wanted, width = question.task.expect.width, features.X.shape[1]
    if wanted is not None and width != wanted:
        raise FeatureError(
            f"the features of {backbone} are {width} wide, the task expects {wanted}; take the "
            f"vector that the task means, or say --set expect.width={width}."
        )


def _compute(question: Question, backbone: str, checkpoint: str, speed: Speed) -> Features:
    try:
        return compute(
            question.samples.pictures,
            backbone,
            checkpoint,
            precision=speed.precision,
            batch_size=speed.batch_size,
            workers=speed.workers,
            verify=speed.verify,
            max_error_fraction=question.task.max_error_fraction,
            remote=from_other_machines(question),
            console=console,
        )
    except UnreadableSamplesError as error:
        raise FeatureError(
            f"{error} All of them are listed in {_listed(error.errors, question)}."
        ) from error


def _listed(errors: pd.DataFrame, question: Question) -> Path:
    """Where unreadable samples are listed; an earlier list of these goes where there are none."""
    path = Path(ERRORS).absolute()
    if not errors.empty:
        with atomic.replacing(path) as temporary:
            errors.to_csv(temporary, index=False)
    elif _ids_in(path) <= set(question.samples.ids.tolist()):
        path.unlink(missing_ok=True)
    return path


def _ids_in(path: Path) -> set[str]:
    """The samples of a list; of what is no such list, its name, which is no sample's."""
    try:
        return set(pd.read_csv(path, dtype=str)["sample_id"])
    except (OSError, ValueError, KeyError):
        return {str(path)}


def from_other_machines(question: Question) -> Remote:
    """Feature files of the same vector space that runs have logged, those of this task first."""

    def files(identity_key: str) -> Iterator[Callable[[], Path]]:
        of_space = {tags.STAGE: STAGE, tags.IDENTITY_KEY: identity_key}
        found: dict[str, Run] = {}
        for wanted in (of_space | {tags.TASK: question.task.name}, of_space):
            for run in Tracker().find(wanted, limit=_FEW):
                if run.identity not in found and len(found) < _FEW:
                    found[run.identity] = run
                    yield partial(_feature_file, run)

    return files


def _feature_file(run: Run) -> Path:
    for path in Tracker().download(run, _FOLDER).glob("*.h5"):
        return path
    raise FeatureError(f"run {run.run_id} ({run.name}) has logged no feature file.")


def _tags(study: Study) -> dict[str, object]:
    task, features = study.question.task, study.features
    return {
        tags.STAGE: STAGE,
        tags.TASK: task.name,
        tags.TASK_VERSION: task.version,
        tags.BACKBONE: study.backbone,
        tags.CHECKPOINT: study.checkpoint,
        tags.SAMPLES: study.fingerprint,
        tags.FEATURES: features.key,
        tags.IDENTITY_KEY: features.identity_key,
        tags.WEIGHTS: features.provenance["identity"]["weights"],
        tags.COMPLETE: True,
    }


def _log(run: Recording, study: Study) -> None:
    features = study.features
    run.attach(features.path, f"{_FOLDER}/{features.path.name}")
    run.log_metrics(
        {
            "samples_asked": len(study.question.samples.pictures),
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
    run.dataset(*study.dataset)


def _summary(study: Study, listed: Path) -> str:
    features = study.features
    how = f"{features.computed} computed, {features.reused} there already"
    count = len(features.errors)
    lost = f", {count} unreadable, listed in {listed}" if count else ""
    size = f"{len(features.ids)} x {features.X.shape[1]} features"
    return f"extract   {study.name}: {size} ({how}{lost})"
