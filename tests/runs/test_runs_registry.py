"""The champion, from trained heads to an answer for a new picture."""

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from backbench.backbones import load_backbone
from backbench.errors import BackboneError, HeadError, SampleError, StorageError, TrackingError
from backbench.folds import Fold
from backbench.heads import Problem, Unit, train
from backbench.runs import recording, tags
from backbench.runs.registry import MODEL, Registry, write_model
from backbench.runs.serving import Champion, Predictor


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def as_text(image):
    return base64.b64encode(png(image)).decode()


@pytest.fixture(scope="module")
def trained():
    """Two classes of pictures, three folds, two seeds, on the pixels themselves."""
    import torch

    backbone = load_backbone("pixels")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    grey = np.clip(rng.normal(100 + 40 * y[:, None, None], 60, (60, 8, 8)), 0, 255)
    images = [Image.fromarray(g.astype(np.uint8)).convert("RGB") for g in grey]
    with torch.inference_mode():
        X = backbone.module(torch.stack([backbone.transform(image) for image in images])).numpy()
    row = np.arange(60)
    folds = [
        Fold(k, str(k), row[row % 3 == (k + 1) % 3], row[row % 3 == (k + 2) % 3], row[row % 3 == k])
        for k in range(3)
    ]
    units = [Unit(fold=fold, seed=seed) for fold in folds for seed in (42, 7)]
    results = train({"kind": "logreg"}, Problem(X, y.astype(np.int64), 2), units)
    champion = Champion(
        task="toy",
        task_version=1,
        variant="",
        classes=("dark", "light"),
        backbone="pixels",
        checkpoint="default",
        identity_key=backbone.identity.key,
        weights=backbone.identity.weights,
        head="logreg",
    )
    return images, results, champion


def heads_of(results):
    return {(r.unit.seed, r.unit.fold.index): r.weights for r in results}


def softmax(logits):
    raised = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.fixture
def registered(trained):
    _, results, champion = trained
    with recording(experiment="toy", name="board", tags={tags.STAGE: "leaderboard"}) as run:
        write_model(run.artifact(MODEL), champion, heads_of(results))
    return Registry().register("toy", run.run_id, evidence={"f1": 0.5}, aliases=["champion"])


def test_a_registered_champion_answers_as_the_out_of_fold_pipeline_did(trained, registered):
    import mlflow

    images, results, _ = trained
    model = mlflow.pyfunc.load_model("models:/toy@champion")
    for result in results:
        test = pd.DataFrame({"image": [as_text(images[i]) for i in result.unit.fold.test]})
        told = model.predict(
            test, params={"seed": result.unit.seed, "fold": result.unit.fold.index}
        )
        np.testing.assert_allclose(
            told[["p_dark", "p_light"]].to_numpy(), softmax(result.logits), atol=1e-5
        )
        assert set(told["model_version"]) == {"toy/1"}


@pytest.mark.parametrize("allowed", ["1", "0"])
def test_a_loaded_model_opens_paths_only_where_its_process_allows_it(
    trained, registered, tmp_path, monkeypatch, allowed
):
    import mlflow

    trained[0][0].save(tmp_path / "0.png")
    monkeypatch.setenv("BACKBENCH_SERVE_PATHS", allowed)
    model = mlflow.pyfunc.load_model("models:/toy@champion")
    pictures = pd.DataFrame({"image": [str(tmp_path / "0.png"), as_text(trained[0][0])]})
    if allowed == "1":
        told = model.predict(pictures)
        assert told["p_dark"][0] == told["p_dark"][1]
    else:
        with pytest.raises(MlflowException, match=r"^image 0: .*BACKBENCH_SERVE_PATHS=1"):
            model.predict(pictures)
        assert len(model.predict(pictures[1:])) == 1


def test_all_units_together_answer_with_their_mean(trained, tmp_path):
    images, results, champion = trained
    predictor = Predictor(champion.write(tmp_path, heads_of(results)), paths=True)
    paths = []
    for i, image in enumerate(images[:4]):
        image.save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    each = [predictor.probabilities(paths, seed=s, fold=f) for s in (42, 7) for f in range(3)]
    whole = predictor.probabilities(paths)
    np.testing.assert_allclose(whole, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-6)
    assert predictor.probabilities([]).shape == (0, 2)


def test_paths_bytes_base64_and_data_uris_are_one_picture(trained, tmp_path):
    images, results, champion = trained
    predictor = Predictor(champion.write(tmp_path, heads_of(results)), paths=True)
    images[0].save(tmp_path / "0.png")
    text = as_text(images[0])
    ways = [str(tmp_path / "0.png"), png(images[0]), text, f"data:image/png;base64,{text}"]
    told = predictor.probabilities(ways)
    assert (told == told[0]).all()


@pytest.mark.parametrize("bad", ["nowhere.png", b"no picture", "QUJD"])
def test_what_is_no_picture_is_named_by_its_place(trained, tmp_path, bad):
    images, results, champion = trained
    predictor = Predictor(champion.write(tmp_path, heads_of(results)))
    with pytest.raises(SampleError, match="image 1: "):
        predictor.probabilities([png(images[0]), bad])


def test_a_path_is_not_looked_at_unless_allowed(trained, tmp_path):
    """What is there and what is not are answered alike."""
    images, results, champion = trained
    predictor = Predictor(champion.write(tmp_path, heads_of(results)))
    there, missing = tmp_path / "a-picture.png", tmp_path / "no-picture.png"
    images[0].save(there)
    lines = []
    for name in (str(there), str(missing), "s3://bucket/a-picture.png"):
        with pytest.raises(SampleError, match=r"BACKBENCH_SERVE_PATHS=1") as caught:
            predictor.probabilities([name])
        lines.append(str(caught.value).replace(name[:80], "NAME"))
    assert len(set(lines)) == 1


def test_an_unknown_unit_is_told_with_those_there_are(trained, tmp_path):
    images, results, champion = trained
    predictor = Predictor(champion.write(tmp_path, heads_of(results)))
    with pytest.raises(HeadError, match=r"seeds are 7, 42 and folds 0 to 2"):
        predictor.probabilities([png(images[0])], seed=1)


@pytest.mark.parametrize(
    ("change", "line"),
    [({"weights": "0" * 64}, "with weights 0000000000000000"), ({"identity_key": "x"}, "space")],
)
def test_other_weights_or_preprocessing_are_refused(trained, tmp_path, change, line):
    _, results, champion = trained
    other = replace(champion, **change)
    with pytest.raises(BackboneError, match=line):
        Predictor(other.write(tmp_path, heads_of(results)))


def test_nothing_in_the_model_is_pickled_and_nothing_is_said(trained, tmp_path, capfd):
    _, results, champion = trained
    folder = write_model(tmp_path / "model", champion, heads_of(results))
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"champion.json", "heads.safetensors", "served_model.py", "MLmodel"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".bin", ".pt"))]
    assert capfd.readouterr() == ("", "")


def test_aliases_move_and_evidence_stays(registered):
    registry = Registry()
    assert registry.current("toy") == registered
    assert registry.current("toy", "challenger") is None
    assert registry.current("other") is None
    new = {"verdict": "better"}
    again = registry.register("toy", registered.run_id, evidence=new, aliases=["challenger"])
    assert again.version == registered.version
    assert again.evidence == {"f1": "0.5", "verdict": "better"}
    assert registry.current("toy", "challenger").version == again.version
    champion, heads = Champion.read(registry.download(again))
    assert champion.task == "toy"
    assert len(heads) == 6


def test_a_run_in_the_spool_cannot_be_registered():
    with pytest.raises(TrackingError, match="backbench sync"):
        Registry().register("toy", "spool:1", evidence={})


def test_a_folder_that_is_no_champion_is_refused(tmp_path):
    with pytest.raises(StorageError, match="not a champion's folder"):
        Predictor(tmp_path)


def test_a_champion_without_units_is_refused(trained, tmp_path):
    with pytest.raises(HeadError, match="at least one trained unit"):
        trained[2].write(tmp_path, {})


@pytest.mark.slow
def test_mlflow_models_predict_answers(trained, registered, tmp_path):
    """The command of the README; `serve` runs the same code behind HTTP."""
    images = trained[0]
    images[1].save(tmp_path / "1.png")
    rows = [{"image": str(tmp_path / "1.png")}, {"image": as_text(images[1])}]
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_records": rows}))
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", "models:/toy@champion"]
    command += ["--env-manager", "local", "-i", "in.json", "-t", "json", "-o", "out.json"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "BACKBENCH_SERVE_PATHS": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    first, second = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert first == second
    assert first["class"] in ("dark", "light")
    assert first["model_version"] == "toy/1"
