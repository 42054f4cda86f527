"""`mlflow models serve -m models:/small@champion`: pictures in, classes and probabilities out."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from served_champion import as_text, ask, crown, served_champion

README = Path(__file__).parents[2] / "README.md"


@dataclass(frozen=True)
class Served:
    """A champion that answers, and a picture of the class n0."""

    url: str
    picture: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BACKBENCH_HOME", str(folder / "home"))
        picture = crown(folder)
        with served_champion(folder) as url:
            yield Served(url, picture)


def one(answer: dict) -> dict:
    (row,) = answer["predictions"]
    return row


def is_whole(row: dict) -> bool:
    shares = [row[f"p_n{number}"] for number in range(3)]
    return (
        row["class"] == "n0"
        and row["probability"] == max(shares)
        and abs(sum(shares) - 1) < 1e-5
        and row["model_version"] == "small/1"
    )


def test_it_takes_every_form_that_mlflow_has(served: Served) -> None:
    text = as_text(served.picture)
    forms = {
        "dataframe_records": [{"image": text}],
        "dataframe_split": {"columns": ["image"], "data": [[text]]},
        "inputs": {"image": [text]},
    }
    for name, content in forms.items():
        status, answer = ask(served.url, {name: content})
        assert status == 200, answer
        assert is_whole(one(answer)), (name, answer)


def test_who_asks_can_neither_open_nor_find_files_of_the_server(served: Served) -> None:
    told = []
    for name in (str(served.picture), f"{served.picture}.missing", "s3://bucket/key.png"):
        status, answer = ask(served.url, {"dataframe_records": [{"image": name}]})
        assert status >= 400
        told.append(answer["message"].partition("Error: ")[2].replace(name, "NAME"))
    assert "BACKBENCH_SERVE_PATHS=1" in told[0]
    assert len(set(told)) == 1


def test_one_fold_of_one_seed_can_be_asked(served: Served) -> None:
    text = as_text(served.picture)
    question = {"dataframe_records": [{"image": text}]}
    whole = one(ask(served.url, question)[1])
    part = one(ask(served.url, {**question, "params": {"seed": 1, "fold": 2}})[1])
    assert part["class"] == whole["class"]
    assert part["p_n1"] != whole["p_n1"]
    status, answer = ask(served.url, {**question, "params": {"seed": 1, "fold": 9}})
    assert status >= 400
    assert "no unit of seed 1 and fold 9" in json.dumps(answer)


def test_what_is_no_picture_is_told_with_its_place(served: Served) -> None:
    for wrong in ("bm8gcGljdHVyZQ==", None):
        rows = [{"image": as_text(served.picture)}, {"image": wrong}]
        status, answer = ask(served.url, {"dataframe_records": rows})
        assert status == 400
        assert "stack_trace" not in answer
        assert "Error: image 1: " in answer["message"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_lines_of_the_readme_answer(served: Served) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (lines,) = [block for block in blocks if "/invocations" in block]
    lines = lines.replace("http://127.0.0.1:5001", served.url)
    done = subprocess.run(
        ["sh", "-c", lines.replace("picture.png", str(served.picture))],
        env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert is_whole(one(json.loads(done.stdout)))
