"""evaluate: all seeds and folds of one study as numbers with intervals, tables and pictures."""

import time
from collections.abc import Mapping, Sequence

from backbench.leaderboard import Guard
from backbench.metrics import Estimate, summarise
from backbench.pipeline.checks import check
from backbench.pipeline.console import say
from backbench.pipeline.evidence import Evidence, gather
from backbench.pipeline.extract import extract
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.summary import log_summary, note
from backbench.runs import Run, Tracker, recording, tags

STAGE = "evaluate"


def evaluate(
    question: Question, backbone: str, checkpoint: str, *, allow_incomplete: bool = False
) -> str:
    """Summarise all seeds and folds of a backbone and checkpoint; returns the run's id.

    Raises:
        IncompleteError: units are missing and that was not allowed.
    """
    features = extract(question, backbone, checkpoint)
    study = Study.of(question, backbone, checkpoint, features)
    return evaluate_study(study, allow_incomplete=allow_incomplete)


def evaluate_study(study: Study, *, allow_incomplete: bool = False) -> str:
    """Summarise a study whose features are at hand; returns the id of the run that holds it."""
    started = time.time()
    evidence = gather(study, allow_incomplete=allow_incomplete)
    held = find_summary(study, evidence.key)
    if held is None:
        return _record(study, evidence, started)
    done = f"Nothing to do: run {held.run_id} holds this summary."
    with continued(study.question.task.name, f"evaluate {study.name}", study.tags(STAGE), done):
        say(f"evaluate  {study.name}: there already ({_headline(study, held.metrics)})")
    return held.run_id


def _record(study: Study, evidence: Evidence, started: float) -> str:
    task = study.question.task
    names = [task.metrics.primary, *(n for n in task.metrics.report if n != task.metrics.primary)]
    estimates = summarise(evidence.predictions, names)
    guards = check(study, evidence, estimates[0])
    with recording(
        experiment=task.name,
        name=f"evaluate {study.name}",
        tags=study.tags(STAGE) | _own_tags(evidence, guards),
        params=study.params(),
        note=note(study, evidence, estimates, guards),
        adopt=True,
        start=started,
    ) as run:
        log_summary(run, study, evidence, estimates, guards)
    say(f"evaluate  {study.name}: {_words(estimates[0])}{_flags(guards)}")
    return run.run_id


def _own_tags(evidence: Evidence, guards: Sequence[Guard]) -> dict[str, object]:
    return {
        tags.SEED: ",".join(map(str, evidence.predictions.seeds)),
        tags.COMPLETE: not evidence.gaps,
        tags.FLAGS: ",".join(guard.name for guard in guards if guard.severity == "fault"),
        tags.EVIDENCE: evidence.key,
    }


def find_summary(study: Study, key: str) -> Run | None:
    """The summary of exactly this evidence under exactly this protocol, if there is one."""
    wanted = {
        tags.STAGE: STAGE,
        tags.PROTOCOL: study.protocol.hash,
        tags.EVIDENCE: key,
    }
    return next(iter(Tracker().find(wanted, limit=1)), None)


def _words(estimate: Estimate) -> str:
    return f"{estimate.metric} {estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def _headline(study: Study, metrics: Mapping[str, float]) -> str:
    name = study.question.task.metrics.primary
    return (
        f"{name} {metrics[name]:.4f} [{metrics[f'{name}_low']:.4f}, {metrics[f'{name}_high']:.4f}]"
    )


def _flags(guards: Sequence[Guard]) -> str:
    return "".join(f"\n          {guard.severity}: {guard.message}" for guard in guards)
