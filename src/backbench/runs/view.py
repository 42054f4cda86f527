"""A view of MLflow's run table, kept with the experiment: the headline metrics, the best run first.

The table of a new visitor shows no metric. MLflow keeps views that people share as tags of the
experiment, under `mlflow.sharedViewState.<key>`; this writes one of them.
"""

import json
from collections.abc import Sequence

from backbench.runs import connection, tags
from backbench.runs.pages import ui_root
from backbench.runs.tracker import Run

KEY = "backbench"
_MLFLOW_UI = "http://127.0.0.1:5000"


def share_view(run: Run, stage: str, metrics: Sequence[str], *, best_is_low: bool) -> str | None:
    """Keep a view of the runs of one stage with a run's experiment.

    Args:
        run: any of the experiment.
        stage: of the runs that are shown.
        metrics: columns, the one that sorts first.
        best_is_low: sort from the lowest value.

    Returns:
        its page, as `mlflow ui` serves it where there is no server; None for a run in the spool.

    Raises:
        UnreachableError: the server does not answer.
        TrackingError: it refuses.
    """
    if run.experiment_id is None:
        return None
    state = {
        "searchFilter": f"tags.\"{tags.STAGE}\" = '{stage}'",
        "orderByKey": f"metrics.`{metrics[0]}`",
        "orderByAsc": best_is_low,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            *(f"tags.`{name}`" for name in (tags.BACKBONE, tags.CHECKPOINT)),
            *(f"metrics.`{name}`" for name in metrics),
        ],
    }
    key, client = f"mlflow.sharedViewState.{KEY}", connection.connect()
    with connection.translated():
        client.set_experiment_tag(run.experiment_id, key, json.dumps(state))
    home = ui_root() or _MLFLOW_UI
    return f"{home}/#/experiments/{run.experiment_id}/runs?viewStateShareKey={KEY}"
