"""What an evaluate run holds: numbers, tables, pictures, provenance and a note."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backbench.errors import counted
from backbench.features import Features
from backbench.files import atomic
from backbench.leaderboard import Guard
from backbench.leaderboard.tables import escaped
from backbench.leaderboard.words import interval, number
from backbench.metrics import Estimate, confusion, confusion_per_seed, per_class, per_group
from backbench.pipeline.evidence import Evidence
from backbench.pipeline.extract import STAGE as EXTRACT
from backbench.pipeline.out_of_fold import PREDICTIONS
from backbench.pipeline.pictures import confusion_picture
from backbench.pipeline.study import Study
from backbench.pipeline.undefined import nulled, numbers
from backbench.runs import Recording, Tracker, environment, tags

SUMMARY = "summary.json"
"""All that the leaderboard reads of an evaluate run, beside its predictions."""
_MAY_BE_NULL = ("value", "low", "high", "seed_std", "per_seed")


def log_summary(
    run: Recording,
    study: Study,
    evidence: Evidence,
    estimates: Sequence[Estimate],
    guards: Sequence[Guard],
) -> None:
    """Write everything that the summary of a study consists of."""
    _log_numbers(run, evidence, estimates)
    _log_tables(run, study, evidence)
    _log_provenance(run, study, evidence, guards, estimates)


def note(
    study: Study, evidence: Evidence, estimates: Sequence[Estimate], guards: Sequence[Guard]
) -> str:
    """The description on the run's page, in Markdown."""
    rows = [_line(estimate) for estimate in estimates]
    p, task = evidence.predictions.scored, study.question.task
    groups, seeds = counted(len(p.group_names), "group"), counted(len(p.seeds), "seed")
    lines = [
        f"**{escaped(study.name)}** on **{escaped(task.name)}**, head {task.head['kind']}.",
        f"{counted(len(p), 'sample')}, {groups}, {counted(p.folds, 'fold')}, {seeds}.",
        *([f"**Incomplete**: {'; '.join(evidence.missing)}."] if evidence.gaps else []),
        "",
        "| metric | value | 95% interval over groups | spread over seeds |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"- {guard.severity}: {escaped(guard.message)}" for guard in guards),
    ]
    return "\n".join(lines)


def _line(one: Estimate) -> str:
    cells = (number(one.value, 4), interval(one.low, one.high, 4) or "-", number(one.seed_std, 4))
    return f"| {escaped(one.metric)} | {' | '.join(cells)} |"


def _log_numbers(run: Recording, evidence: Evidence, estimates: Sequence[Estimate]) -> None:
    for estimate in estimates:
        run.log_metric(estimate.metric, estimate.value)
        run.log_metric(f"{estimate.metric}_low", estimate.low)
        run.log_metric(f"{estimate.metric}_high", estimate.high)
        if np.isfinite(estimate.seed_std):
            run.log_metric(f"{estimate.metric}_seed_std", estimate.seed_std)
        if estimate.undefined:
            run.log_metric(f"{estimate.metric}_undefined", sum(estimate.undefined.values()))
        if estimate.undefined_seeds:
            left_out = sum(estimate.undefined_seeds.values())
            run.log_metric(f"{estimate.metric}_undefined_seeds", left_out)
    run.log_metrics(
        {
            "groups": len(evidence.predictions.group_names),
            "folds": evidence.predictions.folds,
            "seeds": len(evidence.predictions.seeds),
            "train_seconds": evidence.train_seconds,
        }
    )


def _log_tables(run: Recording, study: Study, evidence: Evidence) -> None:
    predictions = evidence.predictions
    predictions.to_frame().to_parquet(run.artifact(PREDICTIONS))
    per_class(predictions).to_csv(run.artifact("per_class.csv"), index=False)
    per_group(predictions).to_csv(run.artifact("per_group.csv"), index=False)
    matrix = confusion(predictions)
    confusion_picture(matrix, predictions.classes, study.name, run.artifact("confusion.png"))
    atomic.write_json(
        run.artifact("confusion.json"),
        {
            "classes": list(predictions.classes),
            "mean_over_seeds": matrix.tolist(),
            "seeds": list(predictions.seeds),
            "per_seed": confusion_per_seed(predictions).tolist(),
        },
    )


def read_summary(path: Path) -> dict[str, Any]:
    """What the summary says, its `estimates` (primary first) and `guards` as objects."""
    about: dict[str, Any] = json.loads(path.read_text())
    estimates = [Estimate(**numbers(one, _MAY_BE_NULL)) for one in about["estimates"]]
    guards = [Guard.from_dict(numbers(one, ["number"])) for one in about["guards"]]
    return about | {"estimates": estimates, "guards": guards}


def _log_provenance(
    run: Recording,
    study: Study,
    evidence: Evidence,
    guards: Sequence[Guard],
    estimates: Sequence[Estimate],
) -> None:
    summary = {
        "missing": list(evidence.missing),
        "protocol": dict(study.protocol.fields),
        "estimates": [asdict(estimate) for estimate in estimates],
        "guards": [guard.to_dict() for guard in guards],
        "cost": _cost(study.features, evidence),
        "lineage": _lineage(study, evidence),
    }
    atomic.write_json(run.artifact(SUMMARY), nulled(summary))
    atomic.write_json(run.artifact("task.json"), asdict(study.question.task))
    atomic.write_json(run.artifact("environment.json"), environment())
    run.dataset(*study.dataset)


def _lineage(study: Study, evidence: Evidence) -> dict[str, Any]:
    """What the row was made from, down to weights and samples."""
    provenance = study.features.provenance
    identity = provenance["identity"]
    return {
        "train_runs": [run.run_id for run in evidence.runs],
        "extract_runs": _extract_runs(study.features.key),
        "features": study.features.key,
        "identity_key": study.features.identity_key,
        "weights": identity["weights"],
        "representation": identity["representation"],
        "transform": identity["transform"],
        "manifest": study.protocol.fields["samples.fingerprint"],
        "licence": provenance["licence"],
        "precision": provenance["precision"],
        "min_side": provenance["min_side"] or None,
        "git": environment()["git"],
    }


def _extract_runs(key: str) -> list[str]:
    return [run.run_id for run in Tracker().find({tags.STAGE: EXTRACT, tags.FEATURES: key})]


def _cost(features: Features, evidence: Evidence) -> dict[str, float]:
    known = features.provenance
    cost = {"dim": features.X.shape[1], "train_seconds": evidence.train_seconds}
    return cost | {k: known[k] for k in ("parameters", "images_per_second") if known.get(k, 0) > 0}
