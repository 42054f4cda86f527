import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from backbench.runs import tags
from backbench.runs.lookup import settled

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"


def test_the_page_on_tracking_has_every_tag_with_its_meaning():
    shown = dict(re.findall(r"^\| `(backbench\.\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    assert shown == dict(tags.TAGS)


def test_every_tag_has_a_constant_of_its_name():
    constants = {
        v for k, v in vars(tags).items() if k.isupper() and str(v).startswith("backbench.")
    }
    assert constants - {tags.PREFIX} == set(tags.TAGS)


class Info:
    def __init__(self, run_id, status):
        self.run_id, self.status = run_id, status


class Data:
    def __init__(self, recorded):
        self.tags = {tags.RECORDED: recorded}


class Run:
    def __init__(self, run_id, whole):
        self.info = Info(run_id, "FINISHED" if whole else "RUNNING")
        self.data = Data(str(whole).lower())


class Client:
    def __init__(self):
        self.deleted = []

    def delete_run(self, run_id):
        self.deleted.append(run_id)


class Record:
    adopts = None


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.data())
def test_every_place_keeps_the_same_run_whenever_it_looks(ids, data):
    """Between two looks runs become whole; a choice that depended on it would delete both."""
    looks = [
        [Run(name, data.draw(st.booleans())) for name in data.draw(st.permutations(ids))]
        for _ in range(2)
    ]
    clients = [Client(), Client()]
    kept = {
        settled(client, Record, look).info.run_id
        for client, look in zip(clients, looks, strict=True)
    }
    assert len(kept) == 1
    assert not kept & {*clients[0].deleted, *clients[1].deleted}
