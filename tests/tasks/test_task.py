"""A task file is read strictly: nothing misspelt gets in."""

from dataclasses import asdict
from pathlib import Path

import pytest

from backbench.errors import HeadError, TaskError
from backbench.pipeline.question import resolve_task
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


def test_a_variant_keeps_its_changes_beside_the_head_it_has(task_file: Path) -> None:
    """The same kind replaces nothing; another kind takes no changes from a variant without any."""
    assert load_task(str(task_file), variant="slow", head="linear").head["epochs"] == 500
    other = load_task(str(task_file), variant="other", head="ridge")
    assert (other.folds.n_splits, other.head) == (3, {"kind": "ridge"})


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
        ({"source": "digits", "overrides": ["folds.n_splits=ten"]}, ["'ten'", "a whole number"]),
        ({"source": "digits", "overrides": ["folds.n_splits=true"]}, ["True", "a whole number"]),
        ({"source": "digits", "overrides": ["seeds=[1, 'a']"]}, ["'seeds'", "a whole number"]),
        ({"source": "digits", "overrides": ["folds.scheme=loo"]}, ["'loo'", "group_k_fold"]),
        (
            {"source": "digits", "overrides": ["folds.seed=-1"]},
            ["'folds.seed' is -1", "from 0 to 4294967295"],
        ),
        (
            {"source": "digits", "overrides": [f"folds.seed={2**32}"]},
            ["'folds.seed' is 4294967296"],
        ),
        ({"source": "digits", "overrides": ["seeds=4"]}, ["'seeds'", "has to be a list."]),
        ({"source": "digits", "overrides": ["head=4"]}, ["'head'", "has to be a table."]),
        ({"source": "digits", "overrides": ["description=4"]}, ["has to be text."]),
        ({"source": "digits", "overrides": ["metrics.rope=-0.1"]}, ["rope", "0 or more"]),
        ({"source": "digits", "overrides": ["metrics.rope=nan"]}, ["rope", "0 or more"]),
        ({"source": "digits", "overrides": ["max_error_fraction=nan"]}, ["is nan", "from 0 to 1"]),
        ({"source": "digits", "overrides": ["max_error_fraction=5.0"]}, ["is 5.0", "from 0 to 1"]),
        ({"source": "digits", "overrides": ["lr"]}, ["'lr'", "field=value"]),
        ({"source": "digits", "variant": "x"}, ["variant 'x'", "digits"]),
        ({"source": "faba", "overrides": ["variant=drop_image"]}, ["'variant'", "--variant"]),
        (
            {"source": "faba", "variant": "drop_image", "head": "linear"},
            ["'drop_image'", "head.modalities", "--head linear"],
        ),
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
        ('name = "x"\nversion = "1"\nsamples = "y"', ["'version'", "a whole number"]),
        ("\xff".encode("latin-1"), ["not valid TOML"]),
        (f'variant = "nope"\n{FILE}', ["'variant'", "--variant"]),
        (f'{FILE}[variants.a]\nvariant = "slow"', ["'variants.a.variant'", "--variant"]),
        (f"{FILE}[variants]\na = 3", ["'variants.a' is 3", "a table"]),
        (f"{FILE}[expect]\nsplits.train = 'all'", ["'expect.splits.train'", "a whole number"]),
        (f"{FILE}[expect]\nchannels.env = 2.5", ["'expect.channels.env'", "a whole number"]),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TaskError) as error:
        load_task(str(path))
    assert all(word in str(error.value) for word in words), error.value


def test_mlflow_run_needs_an_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts in the project's folder, not where the command was given."""
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(TaskError, match=r"'scans\.toml' does not exist.*absolute path"):
        load_task("scans.toml")
    with pytest.raises(TaskError, match="check the path"):
        load_task("/nowhere/scans.toml")


def test_a_folder_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "t.toml").mkdir()
    with pytest.raises(TaskError, match="is a folder, not a task file"):
        load_task(str(tmp_path / "t.toml"))


@pytest.mark.parametrize("name", ["", " ", " a", "a/b", "a:b", "..", "a\nb", "it's", "a" * 201])
def test_a_name_that_experiments_or_models_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(TaskError, match="task's name is") as error:
        Task(name=name, version=1, samples="s")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["faba", "Bohne 2", "日本", "a-b_c.d"])
def test_a_name_may_be_in_any_script(name: str) -> None:
    assert Task(name=name, version=1, samples="s").name == name


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("folds.n_split = 3", ["'variants.typo.folds.n_split'", "'variants.typo.folds.n_splits'"]),
        ("folds.n_splits = 'ten'", ["'variants.typo.folds.n_splits'", "a whole number"]),
        ("metrics.rope = -1", ["rope"]),
    ],
)
def test_a_variant_that_is_not_used_is_read_as_strictly(
    task_file: Path, changed: str, words: list[str]
) -> None:
    task_file.write_text(f"{FILE}[variants.typo]\n{changed}\n")
    with pytest.raises(TaskError) as error:
        load_task(str(task_file), variant="slow")
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ("head.epoch = 3", TaskError, ["variant 'typo'", "'head.epochs'"]),
        ("head.epochs = 0", HeadError, ["variant 'typo'", "epochs"]),
        ("head.kind = 'liner'", HeadError, ["variant 'typo'", "'linear'"]),
    ],
)
def test_the_head_of_a_variant_that_is_not_used_is_read_as_strictly(
    task_file: Path, changed: str, kind: type[Exception], words: list[str]
) -> None:
    task_file.write_text(f"{FILE}[variants.typo]\n{changed}\n")
    with pytest.raises(kind) as error:
        resolve_task(str(task_file))
    assert all(word in str(error.value) for word in words), error.value


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
