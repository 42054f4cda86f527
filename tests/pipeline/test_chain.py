"""The chain on real pictures: everything is recorded, and nothing is done twice."""

import json
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import pytest
from filelock import Timeout
from mlflow import MlflowClient
from safetensors.numpy import load_file
from safetensors.torch import save_file

from backbench.backbones import checkpoints, efficientnet_lite0
from backbench.errors import BoardError, FeatureError, IncompleteError
from backbench.heads import predict as head_logits
from backbench.metrics import METRICS, Predictions
from backbench.pipeline.chain import run_chain
from backbench.pipeline.champion import EVALUATED, Contest, Registration, hold_contest
from backbench.pipeline.evaluate import evaluate
from backbench.pipeline.extract import extract
from backbench.pipeline.leaderboard import leaderboard
from backbench.pipeline.predict import predict
from backbench.pipeline.question import Question
from backbench.pipeline.submit_plan import board_command
from backbench.pipeline.submit_survey import survey
from backbench.pipeline.train_fold import train_fold
from backbench.pipeline.turn import turn
from backbench.runs import Run, Tracker, recording, tags
from backbench.runs.registry import Registry, contest_lock
from backbench.runs.serving import Predictor
from small_task import small_task

BACKBONES = ("pixels", "efficientnet_lite0=untrained")


def runs(stage: str, **more: str) -> list[Run]:
    return Tracker().find({tags.STAGE: stage, **more})


def test_each_step_is_one_run_of_its_own(chain) -> None:
    with chain.entered():
        counts = {s: len(runs(s)) for s in ("extract", "train_fold", "evaluate", "leaderboard")}
    assert counts == {"extract": 2, "train_fold": 4, "evaluate": 2, "leaderboard": 1}


def test_all_runs_of_a_chain_name_the_same_data_set(chain) -> None:
    with chain.entered():
        of_all = [
            run for s in ("extract", "train_fold", "evaluate", "leaderboard") for run in runs(s)
        ]
        client = MlflowClient()
        inputs = [client.get_run(run.run_id).inputs.dataset_inputs for run in of_all]
    assert {len(given) for given in inputs} == {1}
    assert len({(given[0].dataset.name, given[0].dataset.digest) for given in inputs}) == 1


def test_every_tag_of_the_schema_is_written(chain) -> None:
    """By the runs of a chain, or by one that failed below another."""
    stages = ("extract", "train_fold", "evaluate", "leaderboard")
    with chain.entered():
        written = {name for stage in stages for run in runs(stage) for name in run.tags}
    parent = recording(experiment="e", name="parent")
    with parent, suppress(KeyError), recording(experiment="e", name="child") as failed:
        failed.log_metric("auroc_ovr", float("nan"))
        raise KeyError
    written |= set(Tracker().get(failed.run_id).tags)
    assert set(tags.TAGS) - written == set()


def test_runs_of_the_same_samples_are_found_by_their_fingerprint(chain) -> None:
    with chain.entered():
        (one, *_) = runs("evaluate")
        same = {tags.SAMPLES: one.tags[tags.SAMPLES]}
        found = [len(runs(stage, **same)) for stage in ("extract", "train_fold", "evaluate")]
        (given,) = MlflowClient().get_run(one.run_id).inputs.dataset_inputs
    assert found == [2, 4, 2]
    assert given.dataset.digest == one.tags[tags.SAMPLES]


def test_runs_are_called_what_their_checkpoint_is_called(chain) -> None:
    with chain.entered():
        names = {run.name for run in runs("extract")}
    assert names == {"extract pixels", "extract efficientnet_lite0 untrained"}


def test_a_second_chain_computes_nothing(chain) -> None:
    with chain.entered():
        before = {s: len(runs(s)) for s in ("extract", "train_fold", "evaluate")}
        question = Question.ask(chain.task)
        run_chain(question, BACKBONES)
        assert {s: len(runs(s)) for s in before} == before
        assert extract(question, "pixels", "default").computed == 0


def test_a_train_run_holds_all_that_its_numbers_came_from(chain) -> None:
    with chain.entered():
        (run,) = runs("train_fold", **{tags.SEED: "2", tags.BACKBONE: "pixels"})
        tracker = Tracker()
        names = {path: tracker.download(run, path) for path in tracker.artifacts(run)}
    assert {
        "predictions.parquet",
        "heads.safetensors",
        "folds.parquet",
        "task.json",
        "protocol.json",
        "environment.json",
        "units.json",
    } <= set(names)
    task = json.loads(names["task.json"].read_text())
    assert task["head"]["kind"] == "ridge"
    assert task["head"]["lambdas"]
    assert run.tags[tags.FOLD] == "0-3"
    assert "balanced_accuracy_fold_mean" in run.metrics
    assert "by_fold/balanced_accuracy" in run.metrics


def test_the_heads_that_are_kept_give_the_predictions_that_are_kept(chain) -> None:
    with chain.entered():
        question = Question.ask(chain.task)
        features = extract(question, "pixels", "default")
        (run,) = runs("train_fold", **{tags.SEED: "1", tags.BACKBONE: "pixels"})
        heads = load_file(Tracker().download(run, "heads.safetensors"))
        frame = pd.read_parquet(Tracker().download(run, "predictions.parquet"))
    tested = frame[frame["fold"] == 2]
    rows = np.flatnonzero(np.isin(features.ids, tested["sample_id"]))
    weights = {k.removeprefix("2/"): v for k, v in heads.items() if k.startswith("2/")}
    logits = head_logits("ridge", weights, features.X[rows])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    kept = tested.set_index("sample_id").loc[features.ids[rows], ["p_0", "p_1", "p_2"]]
    np.testing.assert_allclose(shares, kept.to_numpy(), atol=1e-5)


def test_the_summary_is_that_of_the_predictions(chain) -> None:
    with chain.entered():
        (run,) = runs("evaluate", **{tags.BACKBONE: "pixels"})
        predictions = Predictions.from_frame(
            pd.read_parquet(Tracker().download(run, "predictions.parquet"))
        )
        matrix = json.loads(Tracker().download(run, "confusion.json").read_text())
        picture = Tracker().download(run, "confusion.png").read_bytes()
    for name in ("accuracy", "balanced_accuracy", "log_loss"):
        by_hand = np.mean(
            [METRICS[name].function(predictions.y_true, p) for p in predictions.probabilities]
        )
        assert run.metrics[name] == pytest.approx(by_hand, abs=1e-6)
        assert run.metrics[f"{name}_low"] <= run.metrics[name] <= run.metrics[f"{name}_high"]
    assert np.sum(matrix["mean_over_seeds"]) == len(predictions)
    assert matrix["classes"] == ["n0", "n1", "n2"]
    assert picture.startswith(b"\x89PNG")


def test_one_fold_alone_is_the_same_as_among_all(chain, tmp_path: Path) -> None:
    task = str(small_task(tmp_path))
    train_fold(Question.ask(task), "pixels", "default", seed="2", fold="1")
    (alone,) = (
        pd.read_parquet(Tracker().download(run, "predictions.parquet"))
        for run in runs("train_fold")
    )
    with chain.entered():
        (run,) = runs("train_fold", **{tags.SEED: "2", tags.BACKBONE: "pixels"})
        together = pd.read_parquet(Tracker().download(run, "predictions.parquet"))
    together = together.set_index("sample_id").loc[alone["sample_id"]]
    columns = ["p_0", "p_1", "p_2"]
    np.testing.assert_allclose(alone[columns], together[columns], atol=1e-5)


def test_missing_units_are_named_with_the_command_that_trains_them(tmp_path: Path) -> None:
    task = str(small_task(tmp_path))
    question = Question.ask(task)
    train_fold(question, "pixels", "default", seed="1", fold="0-1,3")
    with pytest.raises(IncompleteError) as error:
        evaluate(question, "pixels", "default")
    line = str(error.value)
    assert "5 of 8 units are missing" in line
    assert "seed 1: folds 2; seed 2: folds 0-3" in line
    assert "backbench train-fold" in line
    evaluate(question, "pixels", "default", allow_incomplete=True)
    (run,) = runs("evaluate")
    assert run.tags[tags.COMPLETE] == "false"
    board = leaderboard(task)
    assert [row.name for row in board.rows] == []
    assert "incomplete" in board.unranked[0].reason


def test_seeds_without_a_sample_in_common_have_nothing_to_evaluate(tmp_path: Path) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    train_fold(question, "pixels", "default", seed="1", fold="0")
    train_fold(question, "pixels", "default", seed="2", fold="1")
    with pytest.raises(IncompleteError, match=r"6 of 8 units are missing .*backbench train-fold"):
        evaluate(question, "pixels", "default", allow_incomplete=True)


def test_only_missing_folds_are_trained(tmp_path: Path) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    train_fold(question, "pixels", "default", seed="1", fold="2")
    train_fold(question, "pixels", "default", seed="1")
    assert sorted(run.tags[tags.FOLD] for run in runs("train_fold")) == ["0-1,3", "2"]


def test_another_machine_finds_the_features_instead_of_computing_them(
    chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with chain.entered():
        monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "empty"))
        features = extract(Question.ask(chain.task), "pixels", "default")
    assert (features.computed, features.reused) == (0, 60)


def test_features_of_a_task_are_found_behind_newer_ones_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    extract(question, "pixels", "default")
    extract(Question.ask("digits"), "pixels", "default")
    monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "empty"))
    assert extract(question, "pixels", "default").computed == 0
    (run,) = runs("extract", **{tags.TASK: "small"})
    next(Tracker().download(run, "features").glob("*.h5")).unlink()
    monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "emptier"))
    assert extract(question, "pixels", "default").computed == 60
    assert f"not reused: run {run.run_id} (extract pixels) has logged no" in capsys.readouterr().out


def test_unreadable_pictures_are_listed_and_counted(tmp_path: Path, capsys) -> None:
    task = small_task(tmp_path)
    (tmp_path / "pictures" / "p007.png").write_bytes(b"no picture")
    task.write_text(task.read_text().replace("seeds", "max_error_fraction = 0.05\nseeds"))
    question = Question.ask(str(task))
    evaluate_study_of(question)
    (run,) = runs("extract")
    listed = pd.read_csv(Tracker().download(run, "data_errors.csv"))
    assert listed["sample_id"].tolist() == ["p007.png"]
    assert pd.read_csv("data_errors.csv")["sample_id"].tolist() == ["p007.png"]
    here = Path("data_errors.csv").absolute()
    assert f"0 there already, 1 unreadable, listed in {here})" in capsys.readouterr().out
    assert run.metrics["samples_unreadable"] == 1
    (summary,) = runs("evaluate")
    assert "coverage_loss" in guards_of(summary)


def test_a_list_of_unreadable_pictures_is_gone_once_all_can_be_read(tmp_path: Path) -> None:
    question, bad = Question.ask(str(small_task(tmp_path))), tmp_path / "pictures" / "p007.png"
    good = bad.read_bytes()
    bad.write_bytes(b"no picture")
    with pytest.raises(FeatureError, match=r"listed in .*data_errors\.csv"):
        extract(question, "pixels", "default")
    assert Path("data_errors.csv").exists()
    bad.write_bytes(good)
    extract(question, "pixels", "default")
    assert not Path("data_errors.csv").exists()


def test_a_list_of_other_samples_stays(tmp_path: Path) -> None:
    Path("data_errors.csv").write_text("sample_id,path,error\nscan 1,scan 1.png,broken\n")
    extract(Question.ask(str(small_task(tmp_path))), "pixels", "default")
    assert "scan 1.png" in Path("data_errors.csv").read_text()


def evaluate_study_of(question: Question) -> None:
    train_fold(question, "pixels", "default")
    evaluate(question, "pixels", "default")


def test_a_board_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="backbench run --task"):
        leaderboard(str(small_task(tmp_path)))


def test_a_board_of_some_backbones_has_all_of_them_or_says_which_is_missing(chain) -> None:
    with chain.entered():
        (row,) = leaderboard(chain.task, backbones=["pixels=default"]).rows
        with pytest.raises(BoardError, match="unknown evaluated backbone 'pixles'"):
            leaderboard(chain.task, backbones=["pixels", "pixles"])
    assert row.entry.backbone == "pixels"


def test_power_says_where_nothing_is_tied(chain, capsys) -> None:
    with chain.entered():
        leaderboard(chain.task, backbones=["pixels"], power=True)
    assert "power     no two neighbouring rows are tied" in capsys.readouterr().out


def test_a_board_cannot_be_asked_for_other_samples(chain) -> None:
    with chain.entered(), pytest.raises(BoardError, match="a task of another name"):
        leaderboard(chain.task, overrides=["samples=others.csv"])


def test_runs_of_another_protocol_are_listed_with_the_field(chain) -> None:
    with chain.entered():
        question = Question.ask(chain.task, overrides=["folds.seed=7"])
        evaluate_study_of(question)
        board = leaderboard(chain.task)
    assert len(board.rows) == 2
    assert any("folds." in one.reason for one in board.unranked)


def guards_of(run: Run) -> dict[str, str]:
    about = json.loads(Tracker().download(run, "summary.json").read_text())
    return {guard["name"]: guard["severity"] for guard in about["guards"]}


def test_permuted_labels_score_chance_and_are_neither_ranked_nor_registered(chain, capsys) -> None:
    """There are as many permuted rows as real ones, and they are later."""
    with chain.entered():
        before = Registry().current("small")
        run_chain(Question.ask(chain.task, overrides=["permute_labels=true"]), BACKBONES)
        permuted = pd.read_csv("board/leaderboard.csv").dropna(subset="rank")
        told = capsys.readouterr().out
        run = runs("evaluate")[0]
        board = leaderboard(chain.task)
        forced = Registration(force=True, reason="by mistake")
        leaderboard(chain.task, overrides=["permute_labels=true"], registration=forced)
        assert Registry().current("small").version == before.version
    assert guards_of(run)["permuted_labels"] == "note"
    assert "permute_labels=true · ranked by" in " ".join(told.split())
    assert "is not registered: its labels are permuted" in told
    assert permuted["balanced_accuracy"].max() < 0.6
    assert min(row.estimates["balanced_accuracy"].value for row in board.rows) > 0.6
    reasons = [one.reason for one in board.unranked]
    assert reasons.count("permute_labels is true, asked for false.") == 2


def test_a_chain_ends_with_the_board_of_what_was_run(chain, capsys) -> None:
    """One row of another head, where two of the task's own have been evaluated."""
    with chain.entered():
        fields = ["head.k=5", "metrics.primary=accuracy"]
        question = Question.ask(chain.task, head="knn", overrides=fields)
        run_chain(question, ["pixels"])
        told = capsys.readouterr().out
        (row,) = pd.read_csv("board/leaderboard.csv").dropna(subset="rank").to_dict("records")
        assert len({run.tags[tags.TASK_HASH] for run in runs("evaluate")}) == 1, "one task file"
        own = leaderboard(chain.task)
    assert (row["backbone"], row["head"]) == ("pixels", "knn")
    facts = " ".join(told.split())
    assert "head knn · head.k=5 · metrics.primary=accuracy · ranked by accuracy" in facts
    assert {line.entry.head for line in own.rows} == {"ridge"}
    assert own.departs == ()


def test_what_a_board_is_asked_about_counts_for_all_of_it(chain, capsys) -> None:
    with chain.entered():
        board = leaderboard(chain.task, overrides=["metrics.rope=0.5"])
        nothing = leaderboard(chain.task, head="logreg")
    assert board.comparison(*(row.name for row in board.rows)).rope == 0.5
    assert board.departs == ("metrics.rope=0.5",)
    assert not any(guard.name == "task_changed" for row in board.rows for guard in row.guards)
    assert nothing.rows == ()
    assert "head.kind is ridge, asked for logreg." in {one.reason for one in nothing.unranked}
    words = "is not registered: the task file has another metrics.rope than this board"
    assert words in " ".join(capsys.readouterr().out.split())


def test_a_plan_ends_with_the_board_of_its_question(chain) -> None:
    with chain.entered():
        question = Question.ask(chain.task, variant="half", overrides=["seeds=[1]"])
    assert shlex.split(board_command(question).line) == [
        *("backbench", "leaderboard", "--task", chain.task, "--head", "ridge"),
        *("--variant", "half", "--set", "seeds=[1]"),
    ]


def test_the_board_of_another_question_is_not_the_board_of_this_one(chain) -> None:
    """What `submit` takes for done: the newest board of all is about the other question."""
    with chain.entered():
        own = Question.ask(chain.task)
        other = Question.ask(chain.task, overrides=["permute_labels=true"])
        for question in (own, other):
            run_chain(question, BACKBONES)
        boards = [survey(question, BACKBONES).board for question in (own, other)]
    assert None not in boards
    assert boards[0].start < boards[1].start
    assert boards[0].tags[tags.PROTOCOL] != boards[1].tags[tags.PROTOCOL]


@pytest.mark.parametrize(
    ("name", "words"),
    [("predictions.parquet", "is no Parquet file"), ("summary.json", "is no summary")],
)
def test_a_damaged_run_is_listed_and_the_board_goes_on(chain, name: str, words: str) -> None:
    with chain.entered():
        question = Question.ask(chain.task, overrides=[f"seeds=[{1 + (name == 'summary.json')}]"])
        run = Tracker().get(evaluate(question, "pixels", "default"))
        Tracker().download(run, name).write_bytes(b"{")
        damaged = leaderboard(chain.task)
        Tracker().download(run, name).unlink()
        lost = leaderboard(chain.task)
    for board, why in ((damaged, words), (lost, f"has no artifact '{name}'")):
        assert len(board.rows) == 2
        (reason,) = (u.reason for u in board.unranked if u.entry.run_id == run.run_id)
        assert reason.startswith("cannot be read: ")
        assert why in reason


@pytest.mark.parametrize("name", ["predictions.parquet", "summary.json"])
def test_a_damaged_summary_is_made_again(tmp_path: Path, name: str) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    evaluate_study_of(question)
    (run,) = runs("evaluate")
    Tracker().download(run, name).write_bytes(b"{")
    again = evaluate(question, "pixels", "default")
    assert again != run.run_id
    assert evaluate(question, "pixels", "default") == again


def test_two_names_of_one_vector_space_are_two_rows_that_predict_the_same(tmp_path: Path) -> None:
    weights = efficientnet_lite0.translated(checkpoints.read(efficientnet_lite0.path()))
    for copy in ("a.safetensors", "b.safetensors"):
        save_file({k: v.contiguous() for k, v in weights.state.items()}, copy)
    question = Question.ask(str(small_task(tmp_path)))
    run_chain(question, ["efficientnet_lite0=a.safetensors", "efficientnet_lite0=b.safetensors"])
    board = pd.read_csv("board/leaderboard.csv").dropna(subset="rank")
    assert board["flags"].str.contains("identical_predictions").tolist() == [True, True]
    assert len(runs("train_fold")) == 2, "one a seed: the second name trains nothing"


def test_offline_the_board_is_written_and_nobody_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("BACKBENCH_OFFLINE", "1")
    run_chain(Question.ask(str(small_task(tmp_path))), ["pixels"])
    assert pd.read_csv("board/leaderboard.csv")["rank"].tolist() == [1]
    (run,) = runs("leaderboard")
    assert run.source == "spool"
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("champion"))
    assert "backbench sync" in line


def test_one_board_at_a_time_decides_who_is_champion_and_registers(chain, monkeypatch) -> None:
    steps: list[str] = []

    def alone(step: str) -> None:
        with pytest.raises(Timeout):
            contest_lock("small").acquire(timeout=0)
        steps.append(step)

    def looked(*given: object) -> Contest | None:
        alone("look")
        return hold_contest(*given)

    monkeypatch.setattr("backbench.pipeline.leaderboard.hold_contest", looked)
    monkeypatch.setattr("backbench.pipeline.leaderboard.register", lambda *_: alone("register"))
    with chain.entered():
        leaderboard(chain.task)
        assert steps == ["look", "register"]
        with contest_lock("small").acquire(timeout=0):
            pass


def test_a_board_that_waits_for_its_turn_says_so(capsys, monkeypatch) -> None:
    monkeypatch.setattr("backbench.pipeline.turn._SOON", 0.05)
    held = Event()

    def hold() -> None:
        with contest_lock("small"):
            held.set()
            time.sleep(0.5)

    Thread(target=hold).start()
    held.wait()
    with turn("small"):
        assert "waiting   another board of 'small'" in capsys.readouterr().out


def test_a_champion_that_cannot_be_read_does_not_keep_the_board_from_being_recorded(chain) -> None:
    with chain.entered():
        holder, before = Registry().current("small"), len(runs("leaderboard"))
        Registry().register("small", holder.run_id, evidence={EVALUATED: "0" * 32})
        with pytest.raises(BoardError, match="cannot be compared with"):
            leaderboard(chain.task, out="anew")
        assert Path("anew/leaderboard.html").is_file()
        assert len(runs("leaderboard")) == before + 1
        leaderboard(chain.task, registration=Registration(force=True, reason="its run is gone"))
        assert Registry().current("small").version != holder.version


def test_a_copy_of_a_picture_in_another_fold_is_reported(tmp_path: Path) -> None:
    question = Question.ask(str(small_task(tmp_path)))
    pictures = tmp_path / "pictures"
    for copy in ("p005.png", "p010.png", "p015.png"):  # of other groups, so of several folds
        (pictures / copy).write_bytes((pictures / "p000.png").read_bytes())
    evaluate_study_of(question)
    (run,) = runs("evaluate")
    assert {"features_duplicated", "near_duplicates"} <= set(guards_of(run))


def test_the_champion_predicts_what_the_out_of_fold_pipeline_predicted(chain) -> None:
    with chain.entered():
        version = Registry().current("small")
        predictor = Predictor(Registry().download(version), paths=True)
        kept = pd.read_parquet(
            Tracker().download(
                Tracker().get(version.evidence["backbench.evaluate_run"]), "predictions.parquet"
            )
        )
        one = kept[(kept["seed"] == 2) & (kept["fold"] == 3)]
        paths = [str(chain.folder / "pictures" / name) for name in one["sample_id"]]
        answered = predictor.probabilities(paths, seed=2, fold=3)
    np.testing.assert_allclose(answered, one[["p_0", "p_1", "p_2"]], atol=1e-5)


def test_the_champion_stays_without_better_evidence_and_moves_by_force(chain) -> None:
    with chain.entered():
        before = Registry().current("small")
        leaderboard(chain.task)
        assert Registry().current("small").version == before.version
        forced = Registration(force=True, reason="a test of force")
        leaderboard(chain.task, registration=forced)
        after = Registry().current("small")
    assert after.version != before.version
    assert "a test of force" in after.evidence["backbench.reason"]


def test_a_challenger_is_registered_once(chain, capsys) -> None:
    """However often the board is drawn."""
    with chain.entered():
        options = {"head": "knn", "overrides": ["head.k=3"]}
        run_chain(Question.ask(chain.task, **options), ["pixels"])
        leaderboard(chain.task, **options)
        first = Registry().current("small", "challenger")
        leaderboard(chain.task, **options)
        assert Registry().current("small", "challenger").version == first.version
    assert f"is it already (version {first.version}). " in capsys.readouterr().out


def test_force_without_a_reason_is_refused(chain) -> None:
    with chain.entered(), pytest.raises(BoardError, match="--reason"):
        leaderboard(chain.task, registration=Registration(force=True))


def test_force_is_never_ignored(chain) -> None:
    with pytest.raises(BoardError, match="--register false"):
        Registration(wanted=False, force=True, reason="so")
    with pytest.raises(BoardError, match="give both or neither"):
        Registration(reason="so")
    forced = Registration(force=True, reason="so")
    for part in ({"compare": "heads"}, {"backbones": ["pixels"]}):
        with chain.entered(), pytest.raises(BoardError, match="leave out --backbones"):
            leaderboard(chain.task, registration=forced, **part)


@pytest.mark.parametrize(("name", "read"), [("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)])
def test_the_champion_answers_for_a_folder_of_pictures(chain, name: str, read: Callable) -> None:
    with chain.entered():
        out = chain.folder / name
        table = predict(chain.folder / "pictures", task="small", alias="champion", out=out)
        written = read(out)
    assert len(written) == 60
    assert (written["class"] == table["class"]).all()
    labels = pd.read_csv(chain.folder / "samples.csv")["label"].to_numpy()
    assert (written.sort_values("path")["class"].to_numpy() == labels).mean() > 0.8
