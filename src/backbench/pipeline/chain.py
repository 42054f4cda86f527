"""The whole chain over several backbones, and the demo."""

import shutil
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from backbench.backbones import bring, find, parse_backbone, spelled
from backbench.errors import TaskError
from backbench.pipeline.console import console, say
from backbench.pipeline.evaluate import evaluate_study
from backbench.pipeline.extract import imported_features
from backbench.pipeline.leaderboard import OUT, check_out, leaderboard
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.train_fold import find_trained, train_fold
from backbench.pipeline.units import missing, trained
from backbench.runs import tags
from backbench.tasks import Protocol

DEMO_BACKBONES = ("pixels", "efficientnet_lite0=untrained", "efficientnet_lite0")


def run_chain(question: Question, backbones: Sequence[str], *, seed: str = "all") -> None:
    """extract, train_fold and evaluate each backbone, then the leaderboard.

    Args:
        question: what is asked.
        backbones: `backbone` or `backbone=checkpoint`.
        seed: as `train_fold` takes it; while others of the task's seeds are missing, no board is
            made, and a line says so.

    Raises:
        TaskError, BackboneError, FeatureError: as `check_backbones`, before anything is computed.
        WeightsMissingError: those of one are not here and cannot be fetched; also before.
        StorageError: the board could not be written.
    """
    check_backbones(question, backbones)
    check_out(OUT)
    if question.samples.pictures.has_files:
        for spec in backbones:
            bring(*parse_backbone(spec))
    task = question.task
    about = {tags.TASK: task.name, tags.TASK_VERSION: task.version}
    with continued(task.name, f"chain {task.name}", about, "The runs of the chain hang below."):
        done = [_evaluated(question, spec, seed) for spec in backbones]
        if lacking := {seed for _, seeds in done for seed in seeds}:
            _tell_lacking(question, backbones, lacking)
            return
        leaderboard(
            question.source,
            variant=task.variant,
            head=task.head["kind"],
            overrides=question.overrides,
            protocol=_shared([study for study, _ in done]),
        )


def _evaluated(question: Question, spec: str, seed: str) -> tuple[Study, list[int]]:
    """Trained as asked, and evaluated unless units of other seeds are missing; which seeds are."""
    study = train_fold(question, *parse_backbone(spec), seed=seed)
    gaps = missing(trained(find_trained(study)), question.task.seeds, len(study.plan))
    if not gaps:
        evaluate_study(study)
    return study, list(gaps)


def _tell_lacking(question: Question, backbones: Sequence[str], lacking: Collection[int]) -> None:
    seeds = ", ".join(map(str, sorted(lacking)))
    command = question.command("run", backbones=",".join(backbones))
    say(f"board     not made: units of seed {seeds} are missing. Train and rank with: {command}")


def _shared(studies: Sequence[Study]) -> Protocol:
    """The one of most backbones, of equals that of most samples: who lost some stands alone."""
    count = Counter(study.protocol.hash for study in studies)
    best = max(studies, key=lambda study: (count[study.protocol.hash], len(study.samples)))
    return best.protocol


def check_backbones(question: Question, backbones: Sequence[str]) -> None:
    """Whether all that is asked for can be had, as far as names and imports tell.

    Raises:
        TaskError: none, or one twice.
        BackboneError: an unknown one.
        FeatureError: samples without files, and no features of one were imported.
    """
    asked = [parse_backbone(spec) for spec in backbones]
    if not asked:
        raise TaskError("no backbones were given; name them: --backbones pixels,clip.")
    twice = [one for one in asked if asked.count(one) > 1]
    if twice:
        raise TaskError(f"backbone '{spelled(*twice[0])}' is given twice; name each once.")
    for name, checkpoint in asked:
        if question.samples.pictures.has_files:
            find(name)
        else:
            imported_features(question, name, checkpoint)


def demo() -> None:
    """Real digits, real ImageNet weights, the untrained floor and the pixels to beat."""
    say("Backbench demo: 1,797 handwritten digits, 10 folds x 3 seeds, 3 backbones.")
    run_chain(Question.ask("digits"), DEMO_BACKBONES)
    console.print()
    say(f"Look at the runs:  {_mlflow()} ui   then open the table's page above")


def _mlflow() -> str:
    """MLflow's program as it can be typed here, also where its environment is not activated."""
    beside, here = Path(sys.executable).with_name("mlflow"), Path.cwd()
    if shutil.which("mlflow") == str(beside):
        return "mlflow"
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
