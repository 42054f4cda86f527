"""A task file is read strictly: nothing misspelt gets in."""

from dataclasses import asdict
from pathlib import Path

import pytest

from backbench.errors import TaskError
from backbench.tasks import Protocol, Task, load_task, packaged_tasks

FILE = """
name = "t"
version = 3
samples = "s.csv"
seeds = [1, 2]
[head]
kind = "linear"
lr = 1e-4
[variants.slow]
head.epochs = 500
[variants.other]
folds.n_splits = 3
"""


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "t.toml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name", packaged_tasks())
def test_every_packaged_task_loads(name: str) -> None:
    assert load_task(name).name == name


def test_a_file_is_read_with_its_types(task_file: Path) -> None:
    task = load_task(str(task_file))
    assert (task.name, task.version, task.seeds) == ("t", 3, (1, 2))
    assert task.head == {"kind": "linear", "lr": 1e-4}


def test_samples_beside_the_task_file_are_found_from_anywhere(task_file: Path) -> None:
    (task_file.parent / "s.csv").write_text("x")
    assert load_task(str(task_file)).samples == str(task_file.parent / "s.csv")


@pytest.mark.parametrize("variant", ["slow", "other"])
def test_a_variant_changes_exactly_the_fields_it_names(task_file: Path, variant: str) -> None:
    plain, changed = load_task(str(task_file)), load_task(str(task_file), variant=variant)
    differing = Protocol.of(plain, samples="", folds="").differences(
        Protocol.of(changed, samples="", folds="")
    )
    assert set(differing) == {{"slow": "head.epochs", "other": "folds.n_splits"}[variant]}


def test_another_head_starts_from_its_own_defaults(task_file: Path) -> None:
    assert load_task(str(task_file), head="ridge").head == {"kind": "ridge"}
    assert load_task(str(task_file), head="linear").head["lr"] == 1e-4


def test_an_override_enters_the_protocol() -> None:
    plain = load_task("digits")
    changed = load_task("digits", overrides=["head.lr=1e-5", "folds.validation=none"])
    differing = Protocol.of(plain, samples="", folds="").differences(
        Protocol.of(changed, samples="", folds="")
    )
    assert differing == {
        "head.lr": ("absent", "1e-05"),
        "folds.validation": ('"next_fold"', '"none"'),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": "digit"}, ["'digit'", "Did you mean 'digits'", ".toml"]),
        ({"source": "nowhere.toml"}, ["nowhere.toml", "does not exist"]),
        ({"source": "digits", "overrides": ["fold.n=3"]}, ["'fold'", "Did you mean 'folds'"]),
        ({"source": "digits", "overrides": ["folds.n_split=3"]}, ["'folds.n_splits'"]),
        ({"source": "digits", "overrides": ["folds.n_splits=ten"]}, ["'ten'", "int"]),
        ({"source": "digits", "overrides": ["folds.n_splits=true"]}, ["True", "int"]),
        ({"source": "digits", "overrides": ["seeds=[1, 'a']"]}, ["'seeds'", "int"]),
        ({"source": "digits", "overrides": ["folds.scheme=loo"]}, ["'loo'", "group_k_fold"]),
        ({"source": "digits", "overrides": ["lr"]}, ["'lr'", "field=value"]),
        ({"source": "digits", "variant": "x"}, ["variant 'x'", "digits"]),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(arguments: dict, words: list[str]) -> None:
    with pytest.raises(TaskError) as error:
        load_task(**arguments)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name = ", ["not valid TOML"]),
        ('name = "x"\nsamples = "y"', ["'version' is missing"]),
        ('name = "x"\nversion = "1"\nsamples = "y"', ["'version'", "int"]),
        ("\xff".encode("latin-1"), ["not valid TOML"]),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TaskError) as error:
        load_task(str(path))
    assert all(word in str(error.value) for word in words)


def test_words_for_people_are_not_compared() -> None:
    task = load_task("digits")
    renamed = Task(**{**asdict_shallow(task), "description": "other", "licence": "MIT"})
    same = Protocol.of(task, samples="a", folds="b")
    assert same.hash == Protocol.of(renamed, samples="a", folds="b").hash


def test_other_samples_or_folds_are_another_protocol() -> None:
    task = load_task("digits")
    hashes = {Protocol.of(task, samples=s, folds=f).hash for s in "ab" for f in "ab"}
    assert len(hashes) == 4


def test_a_free_prefix_may_differ() -> None:
    one = Protocol.of(load_task("digits"), samples="", folds="")
    two = Protocol.of(load_task("digits", overrides=["head.lr=1"]), samples="", folds="")
    assert one.differences(two, free=["head"]) == {}
    assert list(one.differences(two, free=["hea"])) == ["head.lr"]


def asdict_shallow(task: Task) -> dict:
    return {name: getattr(task, name) for name in asdict(task)}
