"""A task file as frozen dataclasses; nothing misspelt gets in."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from backbench.errors import TaskError, unknown
from backbench.files.switches import begun_by_mlflow
from backbench.tasks.checks import (
    check_error_fraction,
    check_fold_seed,
    check_head_is_free,
    check_name,
    check_seeds,
    check_shuffle,
)
from backbench.tasks.strict import build

_GROUPED = frozenset({"group_k_fold", "leave_one_group_out"})
PREDICTION_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_ovr", "log_loss", "ece")


@dataclass(frozen=True)
class Expectation:
    """Counts the data have to have; a count that is None is not checked.

    Attributes:
        samples, groups, classes: of the task; `splits`: samples in each split.
        steps, pictures: of series, and `channels`: values a step of each.
        width: of a feature vector.
    """

    samples: int | None = None
    groups: int | None = None
    classes: int | None = None
    splits: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = None
    pictures: int | None = None
    channels: Mapping[str, int] = field(default_factory=dict)
    width: int | None = None


@dataclass(frozen=True)
class FoldSettings:
    """How test folds are made, and what each fold validates on.

    `validation` is the stated rule: the fold after the test one (`next_fold`), a seeded fraction
    of the training groups (`fraction`), one training group of each value of the column `stratum`
    (`one_per_stratum`), the rows whose split is `val` (`given`), or `none`.

    `group` names the column of groups. Empty, it is `group` where there is such a column, and else
    every sample is its own group, which schemes that keep groups together do not accept.
    """

    scheme: Literal["stratified_k_fold", "group_k_fold", "leave_one_group_out", "given_split"] = (
        "stratified_k_fold"
    )
    n_splits: int = 10
    group: str = ""
    seed: int = 42
    validation: Literal["next_fold", "fraction", "one_per_stratum", "given", "none"] = "next_fold"
    validation_fraction: float = 0.1
    stratum: str = ""

    def __post_init__(self) -> None:
        """Check the seed, at the door."""
        check_fold_seed(self.seed)

    @property
    def group_column(self) -> str:
        """The column of groups, named or not."""
        return self.group or "group"

    @property
    def uses_splits(self) -> bool:
        """Whether the column `split` decides anything."""
        return self.scheme == "given_split" or self.validation == "given"

    @property
    def needs_groups(self) -> bool:
        """Whether samples without that column are a mistake."""
        return bool(self.group) or self.scheme in _GROUPED


@dataclass(frozen=True)
class MetricSettings:
    """The metric that ranks, those shown beside it, and the difference too small to matter."""

    primary: str = "balanced_accuracy"
    report: tuple[str, ...] = PREDICTION_METRICS
    rope: float = 0.0

    def __post_init__(self) -> None:
        """Check the range, at the door."""
        if not 0 <= self.rope < math.inf:
            raise TaskError(
                f"'metrics.rope' is {self.rope}, but has to be 0 or more: the difference of the "
                "primary metric that is too small to matter."
            )


@dataclass(frozen=True)
class Task:
    """One question with everything that must be equal for two answers to be compared.

    Attributes:
        name: names the experiment and the registered model.
        version: raised whenever a change makes earlier results incomparable.
        samples: a built-in set, a folder per class, a folder of plants over time, a
            CSV/TSV/Parquet manifest, or an s3:// key; relative paths are relative to the task
            file, those of packaged tasks to the present folder.
        seeds: seeds of training, each once, from 0 to 2**32 - 1.
        expect: counts checked before anything is computed.
        max_error_fraction: share of unreadable samples above which extraction is an error.
        permute_labels: shuffle the labels between samples: the leakage self-test, which has to
            score chance; 2, 3 and so on are other shuffles than true, the first.
        folds, head, metrics: see their classes; `head` is a `kind` and that head's own settings.
        variants: for each ablation exactly the fields it changes.
        variant: the variant that was applied, empty for the task itself.
        licence: of the samples, shown on the board.
    """

    name: str
    version: int
    samples: str
    description: str = ""
    licence: str = ""
    seeds: tuple[int, ...] = (42,)
    expect: Expectation = field(default_factory=Expectation)
    max_error_fraction: float = 0.0
    permute_labels: bool | int = False
    folds: FoldSettings = field(default_factory=FoldSettings)
    head: Mapping[str, Any] = field(default_factory=lambda: {"kind": "linear"})
    metrics: MetricSettings = field(default_factory=MetricSettings)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variant: str = ""

    def __post_init__(self) -> None:
        """Check name, seeds and the share that may be unreadable, at the door."""
        check_name(self.name)
        check_seeds(self.seeds)
        check_error_fraction(self.max_error_fraction)
        check_shuffle(self.permute_labels)
        if self.permute_labels in (0, 1):  # one question has one protocol
            object.__setattr__(self, "permute_labels", bool(self.permute_labels))


def packaged_tasks() -> dict[str, Path]:
    """The task files inside the package, by name."""
    folder = Path(str(files("backbench") / "tasks"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_task(
    source: str, *, variant: str = "", head: str = "", overrides: Iterable[str] = ()
) -> Task:
    """Read a task by packaged name or path, then apply a variant, a head and `field=value`s.

    Args:
        source: a name of `packaged_tasks()`, or a path that ends in `.toml`.
        variant: one of the task's variants, or empty.
        head: a head kind; one that is not the task's starts from that head's defaults.
        overrides: `dotted.field=value`, the value as TOML (`head.lr=1e-3`); a value that is no
            TOML is taken as text.

    Raises:
        TaskError: no such task, file, variant or field, a value of the wrong type, or another head
            than the one that the variant changes.
    """
    path = _locate(source)
    raw = _read(path)
    task = _resolve(raw, variant, head, overrides)
    return _anchored(task, path)


def _locate(source: str) -> Path:
    packaged = packaged_tasks()
    if source in packaged:
        return packaged[source]
    path = Path(source).expanduser()
    if path.suffix != ".toml":
        raise TaskError(unknown("task", source, packaged) + " Or give a path to a .toml file.")
    if not path.exists():
        raise TaskError(f"task file '{source}' does not exist; {_cure(path)}.")
    if not path.is_file():
        raise TaskError(f"'{source}' is a folder, not a task file; give the .toml file itself.")
    return path


def _cure(path: Path) -> str:
    if begun_by_mlflow() and not path.is_absolute():
        return "`mlflow run` starts in the project's folder, so give it an absolute path"
    return "check the path"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"task file '{path}' is not valid TOML: {error}.") from error
    except OSError as error:
        raise TaskError(f"task file '{path}' cannot be read: {error.strerror}.") from error


def _resolve(raw: dict[str, Any], variant: str, head: str, overrides: Iterable[str]) -> Task:
    base = _built(raw, "")
    if variant and variant not in base.variants:
        raise TaskError(unknown("variant", variant, base.variants) + f" Task: '{base.name}'.")
    for name, changes in base.variants.items():
        _built(_merge(raw, changes), f"variants.{name}.")
    changes = base.variants.get(variant, {})
    changed = _merge(raw, changes)
    if head and head != changed.get("head", {}).get("kind"):
        check_head_is_free(variant, changes, head)
        changed["head"] = {"kind": head}
    for override in overrides:
        changed = _merge(changed, _parse_override(override))
    return replace(_built(changed, ""), variant=variant)


def _built(given: Mapping[str, Any], where: str) -> Task:
    """A task of no variant yet: which one was applied is not for a file or an override to say."""
    if "variant" in given:
        raise TaskError(f"'{where}variant' cannot be set; name one of the variants with --variant.")
    return build(Task, given, where)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _parse_override(override: str) -> dict[str, Any]:
    name, equals, value = override.partition("=")
    if not equals or not name.strip():
        raise TaskError(f"override '{override}' is not 'field=value'; write e.g. head.lr=1e-3.")
    try:
        return tomllib.loads(f"{name} = {value}")
    except tomllib.TOMLDecodeError:
        return _nest(name.strip().split("."), value.strip())


def _nest(keys: list[str], value: str) -> dict[str, Any]:
    nested: Any = value
    for key in reversed(keys):
        nested = {key: nested}
    return dict(nested)


def _anchored(task: Task, path: Path) -> Task:
    """Samples given as a relative path are beside the task file."""
    beside = path.parent / task.samples
    if path.parent == Path(str(files("backbench") / "tasks")) or not beside.exists():
        return task
    return replace(task, samples=str(beside.resolve()))
