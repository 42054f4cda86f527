"""Plants over time through the one pipeline: trained, predicted, guarded, ranked."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backbench.errors import FeatureError, HeadError, IncompleteError, SampleError
from backbench.features import hdf5
from backbench.heads import Unit, UnitResult, predict
from backbench.metrics import Predictions
from backbench.pipeline.champion import Registration
from backbench.pipeline.checks import transforms
from backbench.pipeline.evaluate import evaluate, evaluate_study
from backbench.pipeline.evidence import gather
from backbench.pipeline.extract import extract
from backbench.pipeline.feature_files import import_features
from backbench.pipeline.heads_of import heads_of
from backbench.pipeline.leaderboard import leaderboard
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.train_fold import Seedful, record_units, train_fold
from backbench.runs import Run, Tracker, tags
from empty_store import copy_database
from finished_chain import Chain
from small_plants import EXPECT, small_plants

SHORT = "head.epochs=1;head.warmup_epochs=0;seeds=[1]"


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_plants(tmp_path_factory.mktemp("made"))


def ask(plants: Path, more: str = "", variant: str = "") -> Question:
    overrides = f"samples={plants};{EXPECT};{more}".strip(";").split(";")
    return Question.ask("faba", variant=variant, overrides=overrides)


def take_over(plants: Path, backbone: str, file: Path | None = None) -> None:
    source = file or plants / "features" / f"{backbone}.h5"
    import_features(
        source, layout="nested", task="faba", backbone=backbone, checkpoint="default", weights="?"
    )


def runs(stage: str, **more: str) -> list[Run]:
    return Tracker().find({tags.STAGE: stage, **more})


def guards_of(run: Run) -> dict[str, dict]:
    about = json.loads(Tracker().download(run, "summary.json").read_text())
    return {guard["name"]: guard for guard in about["guards"]}


# --- trained by the real head --------------------------------------------------------------------


class Trained(Chain):
    """One backbone, one seed, one epoch; the features lack four views of one plant."""

    def run(self, plants: Path) -> "Trained":
        rows = hdf5.read_nested(plants / "features" / "clip.h5")
        lost = [name for name, _ in rows if name.startswith("A03-30-2/")][:4]
        hdf5.write_nested(Path("part.h5"), (r for r in rows if r[0] not in lost))
        take_over(plants, "clip", Path("part.h5"))
        self.study = train_fold(ask(plants, SHORT), "clip", "default")
        self.evidence = gather(self.study)
        evaluate_study(self.study)
        (self.extracted,), (self.train,) = runs("extract"), runs("train_fold")
        (self.summary,) = runs("evaluate")
        self.guards = guards_of(self.summary)
        of_units = heads_of(self.evidence.runs)
        self.heads = {fold: weights for (_, fold), weights in of_units.items()}
        return self


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, plants: Path, empty_database: Path
) -> Trained:
    done = Trained(tmp_path_factory.mktemp("trained"), "faba")
    copy_database(empty_database, done.folder)
    with done.entered():
        return done.run(plants)


def test_every_step_of_every_plant_is_predicted_once(trained: Trained) -> None:
    predictions, series = trained.evidence.predictions, trained.study.samples.series
    assert len(predictions) == 48 * 22
    assert predictions.classes == ("unstressed", "stressed")
    ids = trained.study.samples.ids
    where = {f"{ident}/{step}": (i, t) for i, ident in enumerate(ids)
             for t, step in enumerate(series.steps)}  # fmt: skip
    at = tuple(np.array([where[i] for i in predictions.sample_id]).T)
    assert np.array_equal(predictions.y_true, series.y[at])
    assert np.array_equal(predictions.timeline.scored, series.scored[at])
    assert np.array_equal(predictions.timeline.day, series.day[at[1]])
    np.testing.assert_array_equal(predictions.timeline.onset, series.onset[at[0]])
    accession = trained.study.samples.groups[at[0]]
    assert np.array_equal(predictions.group, accession)
    names = np.array([fold.name for fold in trained.study.plan.folds])
    assert np.array_equal(names[predictions.fold], accession)


def test_the_heads_that_are_kept_give_the_steps_that_are_kept(trained: Trained) -> None:
    study, predictions = trained.study, trained.evidence.predictions
    fold = study.plan.folds[3]
    tested = study.samples.series.subset(fold.test)
    logits = predict("stress", trained.heads[3], study.features.X, tested)
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    rows = predictions.fold == 3
    np.testing.assert_allclose(p, predictions.probabilities[0, rows, 1], atol=1e-5)


def test_metrics_carry_their_definition_in_their_names(trained: Trained) -> None:
    wanted = {"f1_fold_mean", "auc_fold_mean", "onset_mae_days", "f1", "balanced_accuracy"}
    assert wanted <= set(trained.summary.metrics)
    assert {"by_fold/f1", "by_fold/auc", "by_fold/onset_mae_days"} <= set(trained.train.metrics)
    assert 0 < trained.summary.metrics["onset_mae_days"] <= 34
    with trained.entered():
        table = pd.read_csv(Tracker().download(trained.summary, "per_class.csv"))
    assert table["support"].sum() == trained.study.samples.series.scored.sum()


def test_lost_views_are_masked_counted_and_shown(trained: Trained) -> None:
    study, plants = trained.study, trained.study.question.samples
    assert len(study.samples) == 48
    lost = (plants.series.picture >= 0).sum() - (study.samples.series.picture >= 0).sum()
    assert lost == 4
    guard = trained.guards["coverage_loss"]
    assert guard["severity"] == "warning"
    assert "2114 samples asked for, 2110 found, 2110 used" in guard["message"]
    assert any(line.startswith("accession 'A03'") for line in guard["details"])
    assert trained.extracted.metrics["samples_unreadable"] == 4


def test_scaling_fitted_in_training_passes(trained: Trained) -> None:
    assert "transform_fitted_on_test_rows" not in trained.guards
    assert list(filter(None, transforms(trained.study, trained.heads))) == []


@pytest.mark.parametrize("leak", ["all plants", "zeros"])
def test_scaling_fitted_on_other_plants_is_caught(trained: Trained, leak: str) -> None:
    """What the original did: z-scores over all plants, and zeros in place of missing values."""
    fold = trained.study.plan.folds[5]
    channel = trained.study.samples.series.channels["fluor"]
    plants = fold.train if leak == "zeros" else np.arange(48)
    seen = vars(channel)["values"][plants][channel.observed[plants]].astype(np.float64)
    seen = np.nan_to_num(seen) if leak == "zeros" else seen
    weights = trained.heads[5] | {
        "fluor.mean": np.nanmean(seen, axis=0), "fluor.scale": 1 / np.nanstd(seen, axis=0),
    }  # fmt: skip
    found = filter(None, transforms(trained.study, trained.heads | {5: weights}))
    (guard,) = found
    assert guard.name == "transform_fitted_on_test_rows"
    assert f"fold {fold.name}, fluor" in guard.message


def test_a_head_of_series_is_ranked_but_not_registered(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    with trained.entered():
        board = leaderboard("faba", registration=Registration(force=True, reason="to see"))
    assert [row.name for row in board.rows] == ["clip"]
    assert "clip is not registered: a model answers for single pictures" in capsys.readouterr().out


def test_without_validation_rows_units_are_trained_and_recorded(plants: Path) -> None:
    """What the refusal of patience without validation advises."""
    question = ask(plants, f"{SHORT};folds.validation=none;head.patience=0")
    take_over(plants, "clip")
    train_fold(question, "clip", "default", fold="0")
    (run,) = runs("train_fold")
    (unit,) = json.loads(Tracker().download(run, "units.json").read_text())
    assert (unit["chosen"], list(unit["history"])) == ({"epoch": 1.0}, ["train_loss"])


# --- refused -------------------------------------------------------------------------------------


def test_without_pictures_and_features_one_line_names_both_ways_out(plants: Path) -> None:
    with pytest.raises(FeatureError) as error:
        extract(ask(plants), "clip", "default")
    assert "add the files, or import features" in str(error.value)
    assert "backbench features import FEATURES.h5 --layout nested --task faba" in str(error.value)


def test_more_lost_views_than_allowed_are_refused(plants: Path) -> None:
    rows = hdf5.read_nested(plants / "features" / "clip.h5")
    hdf5.write_nested(Path("part.h5"), iter(rows[100:]))
    take_over(plants, "clip", Path("part.h5"))
    with pytest.raises(FeatureError, match=r"lacks 100 of 2114 .*max_error_fraction \(now 0.01\)"):
        extract(ask(plants), "clip", "default")


def test_vectors_of_another_width_are_refused(plants: Path) -> None:
    """BioCLIP 2 before its projection is 1,024 wide: the trap."""
    rows = hdf5.read_nested(plants / "features" / "clip.h5")
    wide = ((name, np.resize(row, 1024)) for name, row in rows)
    hdf5.write_nested(Path("wide.h5"), wide)
    take_over(plants, "bioclip2", Path("wide.h5"))
    with pytest.raises(FeatureError, match="bioclip2 are 1024 wide, the task expects 768"):
        extract(ask(plants), "bioclip2", "default")


def test_a_head_of_rows_is_refused_before_anything_is_computed(plants: Path) -> None:
    with pytest.raises(HeadError, match="ridge head takes rows, but the samples are series"):
        Question.ask("faba", head="ridge", overrides=[f"samples={plants}", *EXPECT.split(";")])


def test_a_folder_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SampleError, match=r"unknown samples 'faba-data'.* --set samples=PATH"):
        Question.ask("faba")


def test_a_column_that_is_not_there_is_one_line(plants: Path) -> None:
    with pytest.raises(SampleError, match=r"no column 'ripeness', which folds.stratum names"):
        assert ask(plants, "folds.stratum=ripeness").plan


# --- boards of known truth -----------------------------------------------------------------------


SEEDS = "seeds=[1,2]"


def study_of(plants: Path, backbone: str, variant: str = "") -> Study:
    question = ask(plants, SEEDS, variant)
    take_over(plants, backbone)
    return Study.of(question, backbone, "default", extract(question, backbone, "default"))


def record(study: Study, *, worse: float = 0.0, noise: int = 0, skip: int = -1) -> None:
    """Units as if trained: plants are hard or easy for all alike; `worse` moves steps to wrong."""
    series = study.samples.series
    shared, own = np.random.default_rng(0), np.random.default_rng([noise, 1])
    z = (2 * series.y - 1) * 2 + shared.normal(0, 2, series.y.shape)
    z += own.normal(0, 0.05, series.y.shape)
    wrong = shared.random(series.y.shape) < worse
    z = np.where(wrong & (series.y == 1), -np.abs(z), z)
    for seed in study.question.task.seeds:
        units = [Unit(fold, seed) for fold in study.plan.folds if fold.index != skip]
        results = [_result(unit, z) for unit in units]
        record_units(study, [Seedful(seed, tuple(results), 0.0, 1.0)], given={})


def _result(unit: Unit, z: np.ndarray) -> UnitResult:
    steps = z[unit.fold.test].ravel().astype(np.float32)
    logits = np.column_stack([np.zeros_like(steps), steps])
    return UnitResult(unit, logits, logits, weights={"w": np.zeros(1)})


def test_ties_and_differences_are_told_over_backbones_and_over_variants(plants: Path) -> None:
    """Rows are compared on the same plants: half an interval of one row tells two rows apart."""
    one, equal, worse = (study_of(plants, name) for name in ("clip", "dinov2", "bioclip"))
    dropped = study_of(plants, "clip", "drop_env")
    assert len({study.protocol.hash for study in (one, equal, worse)}) == 1
    for noise, study in enumerate((one, equal, worse, dropped)):
        record(study, worse=0.17 * (noise > 1), noise=noise)
        evaluate_study(study)
    board = leaderboard("faba", latex=True)
    assert [row.rank for row in board.rows] == ["1-2", "1-2", "3"]
    best, tied, last = board.rows
    assert (tied.to_best.verdict, last.to_best.verdict) == ("not separated", "worse")
    half = (best.estimates["f1_fold_mean"].high - best.estimates["f1_fold_mean"].low) / 2
    assert 0.6 * half < -last.to_best.difference < 1.4 * half
    assert "drop" not in Path("board/leaderboard.md").read_text().split("## Not ranked")[0]
    table = Path("board/leaderboard.tex").read_text()
    assert r"dagger" in table
    variants = leaderboard("faba", compare="variants", backbones=("clip",))
    assert [row.name for row in variants.rows] == ["clip · task itself", "clip · drop_env"]
    assert variants.rows[1].to_best.verdict == "worse"


def test_one_missing_fold_stops_with_the_units_and_the_command(plants: Path) -> None:
    study = study_of(plants, "clip")
    record(study, skip=6)
    with pytest.raises(IncompleteError) as error:
        evaluate(study.question, "clip", "default")
    line = str(error.value)
    assert "2 of 16 units are missing (seed 1: folds 6; seed 2: folds 6)" in line
    assert "backbench train-fold --task faba --backbone clip" in line
    assert "--seed 1,2 --fold 6" in line
    assert f"samples={plants}" in line
    evaluate(study.question, "clip", "default", allow_incomplete=True)
    board = leaderboard("faba")
    assert not board.rows
    assert "seed 1: folds 6" in board.unranked[0].reason


# --- from pictures, and plain samples without files ----------------------------------------------


def test_pictures_of_plants_are_extracted_like_any_others(tmp_path: Path) -> None:
    plants = small_plants(tmp_path, signal=1.0, backbones={}, pictures=True)
    question = ask(plants, "expect.width=1024")
    features = extract(question, "pixels", "default")
    assert features.X.shape[0] == len(question.samples.pictures) == 2114
    study = Study.of(question, "pixels", "default", features)
    series = study.samples.series
    y = np.repeat(series.y[..., None], 4, axis=2)[series.picture >= 0]
    red = features.X[series.picture[series.picture >= 0]].mean(axis=1)
    assert red[y == 1].mean() > red[y == 0].mean()


def test_a_manifest_without_paths_is_trained_on_imported_features(tmp_path: Path, capsys) -> None:
    """And nobody is registered: a model of such features answers for no picture."""
    ids = [f"s{i:02d}" for i in range(40)]
    labels = np.arange(40) % 2
    table = pd.DataFrame({"sample_id": ids, "label": labels})
    table.to_csv(tmp_path / "s.csv", index=False)
    (tmp_path / "s.toml").write_text(
        'name = "bare"\nversion = 1\nsamples = "s.csv"\n[folds]\nn_splits = 4\n'
        '[head]\nkind = "ridge"\n'
    )
    X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    X[:, 0] += 6 * labels
    for name, values in (("X", X), ("X_labels", labels), ("X_image_ids", np.array(ids))):
        np.save(tmp_path / f"{name}.npy", values)
    task = str(tmp_path / "s.toml")
    import_features(
        tmp_path / "X.npy", layout="npy", task=task, backbone="mine", checkpoint="v2", weights="?"
    )
    study = train_fold(Question.ask(task), "mine", "v2")
    evaluate_study(study)
    (run,) = runs("evaluate", **{tags.BACKBONE: "mine"})
    assert run.metrics["accuracy"] > 0.9
    frame = pd.read_parquet(Tracker().download(run, "predictions.parquet"))
    assert Predictions.from_frame(frame).timeline is None
    leaderboard(task, out=str(tmp_path / "board"))
    assert "is not registered: its features were imported" in capsys.readouterr().out
