"""CSV, Markdown, terminal, LaTeX and picture say the same, whatever the names hold."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from backbench.errors import StorageError
from backbench.leaderboard import build_board
from backbench.leaderboard.answer import answer
from backbench.leaderboard.guard import Guard
from backbench.leaderboard.latex import escaped, to_latex
from backbench.leaderboard.page import to_html
from backbench.leaderboard.payload import payload
from backbench.leaderboard.picture import write_png
from backbench.leaderboard.publish import write_board
from backbench.leaderboard.tables import print_board, to_csv, to_markdown
from backbench.leaderboard.words import digits_for, listed, metric_label, rank_text, score
from backbench.tasks import MetricSettings

NASTY = 'a|b `c` <script>alert("x")</script> $y_1$ & [l](u) *d* #1 100% \\n'


@pytest.fixture
def board(entries, entry, task):
    others = [entry(NASTY, 1.8), entry("odd", fields={"head.lr": "0.1"})]
    others.append(entry("half", complete=False, missing=("seed 42: folds 7",)))
    return build_board([*entries, *others], task(), draws=300)


def read(board):
    return list(csv.DictReader(io.StringIO(to_csv(board))))


def test_the_csv_parses_back_to_the_board(board):
    lines = read(board)
    assert len(lines) == len(board.rows) + len(board.unranked)
    for line, row in zip(lines, board.rows, strict=False):
        one = row.estimates[board.primary]
        assert (line["rank"], line["name"]) == (row.rank, row.name)
        assert float(line["balanced_accuracy"]) == pytest.approx(one.value, rel=1e-5)
        assert float(line["balanced_accuracy_low"]) == pytest.approx(one.low, rel=1e-5)
        assert float(line["parameters"]) == row.entry.cost["parameters"]
        assert line["run_id"] == row.entry.run_id


def test_the_csv_lists_unranked_runs_without_a_rank_and_with_the_reason(board):
    found = {line["name"]: line for line in read(board) if not line["rank"]}
    assert found["odd"]["reason"] == "head.lr is 0.1, on the board 0.001."
    assert found["half"]["reason"] == "incomplete; missing: seed 42: folds 7."
    assert found["odd"]["balanced_accuracy"] == ""


def test_the_csv_flags_what_is_worth_a_look_of_ranked_and_unranked_runs_alike(entry, task):
    """Notes explain; they stand in the other renderings."""
    fired = (
        Guard("constant_predictor", "One class in all folds.", 1.0, "fault"),
        Guard("permuted_labels", "Labels are permuted.", 1.0, "note"),
    )
    rows = [entry("whole", guards=fired), entry("half", complete=False, guards=fired)]
    lines = {line["name"]: line for line in read(build_board(rows, task(), draws=300))}
    assert lines["whole"]["rank"] == "1"
    assert lines["half"]["rank"] == ""
    assert {line["flags"] for line in lines.values()} == {"constant_predictor"}


def markdown_tables(text):
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in b.splitlines()] for b in blocks]


def test_the_markdown_tables_are_well_formed_and_hold_every_row(board):
    ranking, unranked = markdown_tables(to_markdown(board))
    for table in (ranking, unranked):
        assert len({len(line) for line in table}) == 1
    assert len(ranking) == 2 + len(board.rows)
    assert len(unranked) == 2 + len(board.unranked)
    assert [line[0].strip() for line in ranking[2:]] == [row.rank for row in board.rows]


def test_names_cannot_become_markdown_or_html(board):
    text = to_markdown(board)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "](u)" not in text.replace("\\](u)", "")


def test_underscores_inside_names_stay_readable(entry, task):
    assert "efficientnet_lite0" in to_markdown(
        build_board([entry("efficientnet_lite0")], task(), draws=300)
    )


def test_the_same_sentence_heads_markdown_and_terminal(entries, task):
    board = build_board(entries, task(), draws=300)
    assert f"**{answer(board)}**" in to_markdown(board)
    assert " ".join(printed(board).split()).startswith(answer(board))


def test_rows_of_older_samples_are_told_with_the_answer_in_every_rendering(board):
    stale = replace(board, outdated="But these rows are old: backbench run")
    for text in (to_markdown(stale), printed(stale, 200), to_html(stale)):
        assert "But these rows are old: backbench run" in " ".join(text.split())


def printed(board, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_board(board, console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((-0.0001, -0.02, 0.01), "+0.000 [-0.020, +0.010]"),
        ((-0.118, float("nan"), float("nan")), "-0.118"),
    ],
)
def test_a_difference_is_never_minus_0_and_has_no_interval_where_there_is_none(figures, said):
    assert score(*figures, sign="+") == said


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_table_fits_the_width_and_loses_nothing(entries, task, width):
    board = build_board(entries, task(), draws=300)
    text = printed(board, width)
    assert max(map(len, text.splitlines())) <= width
    for row in board.rows:
        assert row.rank in text
        one = row.estimates[board.primary]
        assert score(one.value, one.low, one.high) in text


def test_resamples_without_a_value_are_told_beside_the_interval(entry, predictions, task):
    """One class is in two groups of ten, which one resample in ten does not draw."""
    p = predictions(groups=10, each=2, classes=("healthy", "ill"))
    rare = replace(p, y_true=np.repeat([0, 1], [16, 4]))
    metrics = MetricSettings(primary="accuracy", report=("accuracy", "auroc_ovr"))
    board = build_board([entry("clip", predictions=rare)], task(metrics=metrics), draws=300)
    one = board.rows[0].estimates["auroc_ovr"]
    assert one.undefined_draws > 0
    words = f"undefined in {one.undefined_draws} resamples, which its interval leaves out"
    assert f"{metric_label('auroc_ovr')} is {words}." in to_markdown(board)
    assert payload(board)["rows"][0]["scores"]["auroc_ovr"][4] == words
    assert payload(board)["rows"][0]["scores"]["accuracy"][4] == ""


def test_the_terminal_shows_flags_and_unranked_runs(entry, task):
    rows = [entry("noise", 0.0), entry("half", complete=False, missing=("seed 42: folds 7",))]
    text = printed(build_board(rows, task(), draws=300))
    assert "noise (!)" in text
    assert "no better than guessing" in text
    assert "not ranked: half" in text


def test_names_cannot_become_terminal_markup(entry, task):
    assert "[red]x[/red]" in printed(build_board([entry("[red]x[/red]")], task(), draws=300))


def test_latex_has_a_line_a_row_with_interval_and_tie_marks(board):
    text = to_latex(board)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(board.rows)
    assert {line.count(" & ") for line in body} == {len(board.metrics) + 1}
    assert [r"$^{\dagger}$" in line for line in body[:4]] == [False, True, True, False]
    assert body[0].startswith(r"1--3 & \textbf{")
    assert re.search(r"0\.\d{3} \{\[0\.\d{3}, 0\.\d{3}\]\}", body[1])


@pytest.mark.parametrize("character", list('\\{}$&#%_~^<>|"'))
def test_every_special_character_of_latex_is_escaped(character):
    assert escaped(character).startswith("\\")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(board, tmp_path):
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{to_latex(board)}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


def test_the_picture_is_a_png_that_grows_with_its_rows(entries, task, tmp_path):
    from PIL import Image

    sizes = []
    for count in (1, 5):
        board = build_board(entries[:count], task(), draws=300)
        with Image.open(write_png(board, tmp_path / f"{count}.png")) as picture:
            assert picture.format == "PNG"
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] > sizes[0][1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("undefined", [{"low", "high"}, {"value", "low", "high"}])
@pytest.mark.parametrize("which", [{1}, {0, 1, 2, 3, 4}])
def test_rows_without_an_interval_or_a_value_are_drawn_too(
    entries, task, tmp_path, undefined, which
):
    board = build_board(entries, task(), draws=300)
    nothing = dict.fromkeys(undefined, float("nan"))
    rows = [
        replace(row, estimates={n: replace(one, **nothing) for n, one in row.estimates.items()})
        if place in which
        else row
        for place, row in enumerate(board.rows)
    ]
    assert write_png(replace(board, rows=tuple(rows)), tmp_path / "a.png").stat().st_size > 10_000


def test_a_dollar_in_a_name_is_no_formula_in_the_picture(board, tmp_path):
    assert write_png(board, tmp_path / "a.png").stat().st_size > 10_000


def test_an_empty_board_can_be_written_too(task, tmp_path):
    assert len(write_board(build_board([], task()), tmp_path, latex=True)) == 5


def test_writing_makes_every_rendering(board, tmp_path):
    names = sorted(path.name for path in write_board(board, tmp_path / "new", latex=True))
    assert names == [f"leaderboard.{suffix}" for suffix in ("csv", "html", "md", "png", "tex")]
    assert all((tmp_path / "new" / name).stat().st_size for name in names)


def test_a_folder_that_cannot_be_written_is_one_clear_error(entries, task, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_board(build_board(entries[:1], task(), draws=300), tmp_path / "file" / "board")


def test_seeds_without_a_value_are_told(entry, predictions, task):
    """One of two never predicts a class that the other does."""
    p = predictions(groups=4, classes=("healthy", "ill"), seeds=(1, 2))
    probabilities = p.probabilities.copy()
    probabilities[0] = 0.9, 0.1
    metrics = MetricSettings(
        primary="accuracy", report=("precision_ill", "precision_ill_fold_mean")
    )
    clip = entry("clip", predictions=replace(p, probabilities=probabilities))
    board = build_board([clip], task(metrics=metrics), draws=300)
    left_out = "which its mean leaves out: the class is never predicted"
    told = to_markdown(board)
    assert f"undefined in 1 seed, {left_out}." in told
    assert f" trainings, {left_out}." in told


def test_undefined_values_are_dashes_everywhere(entry, task, tmp_path, predictions):
    """Within-fold AUROC has no value where folds hold one class only."""
    p = predictions(groups=4)
    single = type(p)(
        p.sample_id, p.group, p.fold, p.fold, p.probabilities, p.seeds, p.classes
    )  # fmt: skip
    metrics = MetricSettings("accuracy", ("auroc_ovr_fold_mean",))
    board = build_board([entry("a", predictions=single)], task(metrics=metrics), draws=300)
    assert read(board)[0]["auroc_ovr_fold_mean"] == ""
    assert " | - | " in to_markdown(board)
    assert "undefined in 4 folds: only one class among the samples" in to_markdown(board)
    assert len(write_board(board, tmp_path, latex=True)) == 5


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("balanced_accuracy", "balanced accuracy"),
        ("auroc_ovr", "AUROC"),
        ("f1_fold_mean", "F1, mean over folds"),
        ("recall_toe drain", "recall of toe drain"),
        ("onset_mae_days", "onset MAE in days"),
    ],
)
def test_metrics_are_named_as_people_write_them(name, label):
    assert metric_label(name) == label


def test_words():
    assert rank_text(2, 2) == "2"
    assert rank_text(1, 3) == "1-3"
    assert digits_for([0.5, float("nan")]) == 3
    assert digits_for([12.0]) == 1
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
