"""The shared view, as MLflow's own pages show it."""

import json
from pathlib import Path

import pytest

from backbench.runs import Tracker, recording, share_view, tags

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
METRICS = ["balanced_accuracy", "log_loss"]


def evaluated(name, value):
    about = {tags.STAGE: "evaluate", tags.BACKBONE: name}
    with recording(experiment="digits", name=f"evaluate {name}", tags=about) as run:
        run.log_metrics({"balanced_accuracy": value, "log_loss": 1 - value})
    return run


def test_a_run_in_the_spool_has_no_table(offline):
    run = Tracker().get(f"spool:{evaluated('a', 0.5).identity}")
    assert share_view(run, "evaluate", METRICS, best_is_low=False) is None


def test_the_view_is_kept_with_the_experiment():
    from mlflow import MlflowClient

    run = Tracker().get(evaluated("a", 0.5).run_id)
    page = share_view(run, "evaluate", METRICS, best_is_low=True)
    assert page.startswith(f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs?")
    kept = MlflowClient().get_experiment(run.experiment_id).tags["mlflow.sharedViewState.backbench"]
    assert json.loads(kept)["orderByKey"] == "metrics.`balanced_accuracy`"
    assert json.loads(kept)["orderByAsc"] is True


@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
def test_mlflows_table_opens_with_the_headline_metrics_best_first(server):
    sync = pytest.importorskip("playwright.sync_api")
    evaluated("worse", 0.25)
    run = evaluated("better", 0.75)
    page = share_view(Tracker().get(run.run_id), "evaluate", METRICS, best_is_low=False)
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1600, "height": 800})
        tab.add_init_script(
            "localStorage.setItem('mlflow.workflowType_v1', '\"machine_learning\"');"
            "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
        )
        tab.goto(page)
        tab.get_by_text("0.75").first.wait_for(timeout=30_000)
        heads = tab.locator("[role=columnheader]").all_inner_texts()
        names = tab.get_by_text("evaluate ").all_inner_texts()
        browser.close()
    assert any("balanced_accuracy" in head for head in heads)
    assert names.index("evaluate better") < names.index("evaluate worse")
