"""The page in real headless Chromium: it works, says nothing to the console, and passes axe."""

import http.server
import shutil
import threading
from functools import partial
from html import escape
from pathlib import Path

import pytest

from backbench.leaderboard import Guard, build_board
from backbench.leaderboard.page import to_html

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists() and not shutil.which("chromium"),
    reason="Debian's chromium is not installed (apt-get install chromium)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Pages served over HTTP from the loopback address."""
    folder = tmp_path_factory.mktemp("site")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def said():
    return []


@pytest.fixture(scope="module")
def html(entry, task):
    """A board with flags, an unranked run and names that try to break out."""
    skills = {"dinov2": 2.6, "clip": 2.55, "bioclip": 2.5, "pixels": 1.2, "untrained": 0.6}
    pair = Guard("near_duplicates", "1 pair.", 1, "warning", ("a and b: cosine 0.9999",))
    made = [entry(name, skill) for name, skill in skills.items()]
    made.append(entry("<img src=x onerror=alert(1)>", 0.0, guards=(pair,)))
    made.append(entry("odd", fields={"head.lr": "0.1"}))
    return to_html(build_board(made, task(licence="CC0"), draws=300))


@pytest.fixture
def page(browser, site, html, said):
    """The page opened; at the end nothing may have been said to the console."""
    (site[0] / "board.html").write_text(html, encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("requestfailed", lambda request: said.append(request.url))
    opened.goto(f"{site[1]}/board.html")
    opened.wait_for_selector("#board tbody tr")
    yield opened
    opened.close()
    assert said == []


def column(page, selector):
    return page.locator(selector).all_inner_texts()


def names(page):
    return column(page, "#board tbody tr:not(.detail) .name button")


def test_every_row_is_there_in_order_with_its_rank(page):
    assert names(page)[3:5] == ["pixels", "untrained"]
    assert column(page, "#board .pill") == ["1-3", "1-3", "1-3", "4", "5", "6"]
    assert page.locator(".answer").inner_text().count("cannot separate") == 1


def test_headers_sort_both_ways_and_say_so(page):
    before = names(page)
    header = page.get_by_role("columnheader", name="Backbone")
    header.get_by_role("button").click()
    assert names(page) == sorted(before, key=str.lower)
    assert page.locator("th[data-key=name]").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert names(page) == sorted(before, key=str.lower, reverse=True)
    assert page.locator("th[data-key=name]").get_attribute("aria-sort") == "descending"
    assert page.locator("th[data-key=rank]").get_attribute("aria-sort") == "none"


def test_a_metric_where_lower_is_better_sorts_the_lowest_first(page):
    page.get_by_role("button", name="log loss").click()
    assert page.locator("th[data-key=log_loss]").get_attribute("aria-sort") == "ascending"


def test_the_filter_keeps_matching_rows_and_counts_them(page):
    page.get_by_label("Filter").fill("CLIP")
    assert sorted(names(page)) == ["bioclip", "clip"]
    assert page.get_by_role("status").inner_text() == "2 of 6 rows"
    page.get_by_label("Filter").fill("nothing like it")
    assert names(page) == []
    page.get_by_label("Filter").fill("")
    assert len(names(page)) == 6


def test_another_metric_moves_into_the_picture(page):
    page.get_by_label("Show").select_option(label="AUROC")
    assert page.locator("#board thead th").nth(3).inner_text() == "AUROC"


def test_zooming_puts_the_floor_off_the_scale(page):
    assert page.locator("#board .off").count() == 0
    page.get_by_label("Zoom in on the leaders").check()
    assert page.locator("#board .off").count() == 3


def test_switching_the_reference_turns_the_differences_around(page):
    leader, floor = names(page)[0], "untrained"
    line = page.locator("#differences tr", has=page.get_by_role("rowheader", name=floor))
    first = line.locator("td.num").first.inner_text()
    assert first.startswith("\u2212"), "the floor is below the leader"
    assert line.get_by_text("worse").count() == 1
    page.get_by_label("Reference").select_option(label=f"5. {floor}")
    turned = page.locator("#differences tr", has=page.get_by_role("rowheader", name=leader))
    assert turned.locator("td.num").first.inner_text().split()[0] == (
        first.split()[0].replace("\u2212", "+")
    )
    assert turned.first.get_by_text("better").count() == 1
    assert page.locator("#differences tbody tr").count() == 5


def test_the_keyboard_opens_a_row_down_to_its_runs(page):
    button = page.locator("#board tbody .name button").first
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("aria-expanded") == "true"
    detail = page.locator(".detail")
    for heading in ("Scores", "Classes", "Groups, hardest first", "Made from", "Cost"):
        assert detail.get_by_role("heading", name=heading).count() == 1
    for text in ("0123456789abcdef", "d" * 64, "tokens cls, layer last, projected false"):
        assert detail.get_by_text(text).count() == 1
    link = detail.get_by_role("link", name="a" * 32)
    assert link.get_attribute("href").endswith("/runs/" + "a" * 32)
    assert '<b>&"dead"</b>' in detail.inner_text()
    page.keyboard.press("Enter")
    assert page.locator(".detail").count() == 0


def test_flags_stand_beside_the_row_with_their_number(page):
    row = page.locator("#board tbody tr", has_text="onerror")
    assert row.locator(".flag").inner_text() == "no better than guessing + 1 more"
    row.locator(".name button").click()
    assert "a and b: cosine 0.9999" in page.locator(".detail").inner_text()


def test_names_stay_text(page):
    assert page.locator("img").count() == 0


def test_confusions_folds_and_cost_are_drawn_and_switch(page):
    assert page.locator("#folds tbody tr").count() == 6
    left, right = page.locator(".sides table").all()
    assert left.inner_text() != right.inner_text()
    page.get_by_label("Left").select_option(index=1)
    assert names(page)[1] in page.locator(".sides caption").first.text_content()
    assert page.locator(".cost svg circle").count() == 6
    before = page.locator(".cost svg").inner_html()
    page.get_by_role("combobox", name="Cost").select_option(label="images a second")
    assert page.locator(".cost svg").inner_html() != before


def test_unranked_runs_carry_their_reason(page):
    assert "head.lr is 0.1, on the board 0.001." in page.locator("#unranked").inner_text()


def test_the_theme_follows_the_system_and_can_be_chosen(page):
    def ground():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    white = ground()
    page.emulate_media(color_scheme="dark")
    dark = ground()
    assert white != dark
    page.get_by_role("button", name="Theme: auto").click()
    assert ground() == white
    page.get_by_role("button", name="Theme: light").click()
    assert ground() == dark
    page.reload()
    page.wait_for_selector("#board tbody tr")
    assert page.get_by_role("button", name="Theme: dark").count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 400)])
def test_axe_finds_nothing_with_a_row_and_all_lists_open(page, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("#board tbody .name button").last.click()
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


def test_nothing_sticks_out_on_a_phone(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.locator("#board tbody .name button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_it_works_in_the_sandboxed_frame_of_an_artifact_viewer(page, site, said):
    """No storage, no pop-ups, an opaque origin: scripts are all that is allowed."""
    source = escape((site[0] / "board.html").read_text(encoding="utf-8"), quote=True)
    for attribute in ('src="board.html"', f'srcdoc="{source}"'):
        frame = f'<iframe sandbox="allow-scripts" width="1100" height="800" {attribute}></iframe>'
        (site[0] / "viewer.html").write_text(
            f'<!doctype html><link rel="icon" href="data:,">{frame}', encoding="utf-8"
        )
        page.goto(f"{site[1]}/viewer.html")
        inside = page.frame_locator("iframe")
        inside.locator("#board tbody tr").first.wait_for()
        inside.get_by_role("button", name="Theme: auto").click()
        inside.locator("#board tbody .name button").first.click()
        assert inside.locator(".detail a").count() == 0, "a link could not open anything"
        assert "/runs/" + "a" * 32 in inside.locator(".detail").inner_text()
        assert said == []
