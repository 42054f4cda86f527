"""The page before a browser sees it: self-contained, small, and safe whatever the names hold."""

import json
import re

import pytest

from backbench.leaderboard import build_board
from backbench.leaderboard.page import as_script_data, to_html
from backbench.leaderboard.payload import payload
from backbench.tasks import MetricSettings

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028"


@pytest.fixture
def evil(entry, task, predictions):
    classes = ("a", EVIL, "{{js}}", "d")
    rows = [
        entry(EVIL, predictions=predictions(2.0, classes=classes), link="javascript:alert(3)"),
        entry("{{css}}", predictions=predictions(1.0, classes=classes)),
        entry(EVIL + "2", fields={"head.lr": f'"{EVIL}"'}),
    ]
    return build_board(rows, task(name="<img src=x onerror=alert(4)>&"), draws=300)


def data_of(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, flags=re.DOTALL)[1])


def test_no_name_can_end_the_data_or_start_a_script(evil):
    html = to_html(evil)
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert "<img" not in html
    assert data_of(html)["rows"][0]["name"] == EVIL


def test_a_name_that_looks_like_a_placeholder_stays_text(evil):
    data = data_of(to_html(evil))
    assert "{{js}}" in data["classes"]
    assert data["rows"][1]["name"] == "{{css}}"


def test_only_web_pages_become_links(evil):
    assert data_of(to_html(evil))["rows"][0]["lineage"][0] == [
        "Evaluation run",
        [[evil.rows[0].entry.run_id, None]],
    ]


def test_the_page_needs_no_network(entries, task):
    html = to_html(build_board(entries, task(), draws=300))
    data = html.index('<script type="application/json"')
    outside = html[:data] + html[html.index("</script>", data) :]
    allowed = outside.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|@import|url\(", allowed)
    assert "default-src 'none'" in html


def test_nan_never_reaches_the_page():
    with pytest.raises(ValueError, match="JSON compliant"):
        as_script_data([float("nan")])


def test_a_hundred_rows_stay_under_three_megabytes(entry, task):
    rows = [entry(f"m{i}", 1 + i / 100, noise=i) for i in range(100)]
    primary = task(metrics=MetricSettings("accuracy", ("balanced_accuracy", "macro_f1")))
    assert len(to_html(build_board(rows, primary, draws=50)).encode()) < 1.5e6


def test_pairs_are_the_upper_triangle_in_the_order_of_the_rows(entries, task):
    board = build_board(entries, task(), draws=300)
    pairs = payload(board)["pairs"]
    assert [len(line) for line in pairs] == [4, 3, 2, 1, 0]
    one = board.comparison(board.rows[1].name, board.rows[3].name)
    assert pairs[1][1][0] == pytest.approx(one.difference, rel=1e-4)
    assert pairs[1][1][4] == one.verdict


def test_folds_are_named_by_their_group_where_they_test_just_one(entries, task):
    assert payload(build_board(entries, task(), draws=300))["folds"][:2] == ["g00", "g01"]


def test_groups_of_one_sample_have_no_table(entry, task, predictions):
    single = predictions(groups=60, each=1)
    found = payload(build_board([entry(predictions=single)], task(), draws=300))["rows"][0]
    assert found["groups"] == []


def test_lineage_keeps_known_keys_in_order_and_unknown_ones_too(entry, task):
    lineage = {"git": "abc", "weights": "w" * 64, "samples_digest": "x", "links": {}, "empty": ""}
    found = payload(build_board([entry(lineage=lineage)], task(), draws=300))["rows"][0]["lineage"]
    assert [label for label, _ in found] == [
        "Evaluation run", "Weights (sha256)", "Git commit", "Samples digest", "Protocol",
    ]  # fmt: skip
