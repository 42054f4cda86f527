"""evaluate: all seeds and folds of one study as numbers with intervals, tables and pictures."""

import time
from collections.abc import Sequence

from backbench.leaderboard import Guard
from backbench.leaderboard.words import score
from backbench.metrics import Estimate, summarise
from backbench.pipeline.checks import check
from backbench.pipeline.console import say
from backbench.pipeline.entries import EVALUATE, read_entry, row_name
from backbench.pipeline.evidence import Evidence, gather
from backbench.pipeline.extract import extract
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.summary import SUMMARY, log_summary, note, read_summary
from backbench.runs import Run, Tracker, recording, tags


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
    with continued(study.question.task.name, f"evaluate {study.name}", study.tags(EVALUATE), done):
        say(f"evaluate  {study.name}: there already ({_headline(held)})")
    return held.run_id


def _record(study: Study, evidence: Evidence, started: float) -> str:
    task = study.question.task
    names = [task.metrics.primary, *(n for n in task.metrics.report if n != task.metrics.primary)]
    estimates = summarise(evidence.predictions, names)
    guards = check(study, evidence, estimates[0])
    with recording(
        experiment=task.name,
        name=f"evaluate {study.name}",
        tags=study.tags(EVALUATE) | _own_tags(evidence, guards),
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
    """The newest whole summary of this evidence under this protocol and name, if there is one.

    The name counts: two that turn out to be one vector space are two rows of the board, which says
    that they predict the same.
    """
    tracker, task = Tracker(), study.question.task
    wanted = {tags.STAGE: EVALUATE, tags.PROTOCOL: study.protocol.hash, tags.EVIDENCE: key}
    for run in tracker.find(wanted):
        if row_name(run) == study.name and not read_entry(task, run, tracker).unreadable:
            return run
    return None


def _words(estimate: Estimate) -> str:
    return f"{estimate.metric} {score(estimate.value, estimate.low, estimate.high, 4)}"


def _headline(held: Run) -> str:
    """Of the summary itself: MLflow renames metrics, and keeps none that is undefined."""
    return _words(read_summary(Tracker().download(held, SUMMARY))["estimates"][0])


def _flags(guards: Sequence[Guard]) -> str:
    return "".join(f"\n          {guard.severity}: {guard.message}" for guard in guards)
