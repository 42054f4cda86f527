"""The guards that need the data: run once, when a study is evaluated."""

from backbench.leaderboard import Guard, audits
from backbench.pipeline.evidence import Evidence
from backbench.pipeline.study import Study


def check(study: Study, evidence: Evidence) -> tuple[Guard, ...]:
    """Every guard that fires on the features, the folds and the heads of a study."""
    found = [*_folds(study), _coverage(study, evidence)]
    return tuple(guard for guard in found if guard)


def _folds(study: Study) -> list[Guard | None]:
    groups = study.samples.groups
    return [
        audits.group_on_both_sides(groups, fold.train, fold.test, fold.name)
        for fold in study.plan.folds
    ]


def _coverage(study: Study, evidence: Evidence) -> Guard | None:
    asked = study.question.samples.frame
    found = set(study.features.ids.tolist())
    tested = set(evidence.predictions.sample_id.tolist())
    trained = {
        str(study.samples.ids[row]) for fold in study.plan.folds for row in (*fold.train, *fold.val)
    }
    return audits.coverage_loss(asked, found, tested | trained)
