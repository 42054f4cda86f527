"""Units (fold x seed) in words, in tags and in tables: which are there and which are missing."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from backbench.errors import TaskError
from backbench.files.switches import begun_by_mlflow
from backbench.runs import Run, tags


def parse_seeds(spec: str, allowed: Sequence[int]) -> tuple[int, ...]:
    """The seeds of `all`, `42` or `42,123,456`.

    Raises:
        TaskError: not of that form, or a seed the task does not name.
    """
    if spec.strip() == "all":
        return tuple(allowed)
    try:
        seeds = tuple(dict.fromkeys(int(word) for word in spec.split(",")))
    except ValueError:
        raise TaskError(
            f"seed '{spec}' is not a selection of seeds; give 'all', '42' or '42,123,456'."
        ) from None
    other = [seed for seed in seeds if seed not in allowed]
    if other:
        words = ", ".join(map(str, allowed))
        option = "-P set=" if begun_by_mlflow() else "--set "
        raise TaskError(
            f"seed {other[0]} is not one of the task's seeds ({words}); give one of them, or "
            f"add it for every backbone with {option}'seeds=[{words}, {other[0]}]'."
        )
    return seeds


def spell(numbers: Iterable[int]) -> str:
    """Fold numbers as people write them: `0-3,7`."""
    ordered = sorted(set(numbers))
    runs = groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ",".join(str(s[0]) if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in spans)


def unspell(spelled: str) -> set[int]:
    """The numbers of `spell`."""
    spans = [part.split("-") for part in spelled.split(",") if part]
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)}


def trained(runs: Iterable[Run]) -> dict[int, dict[int, Run]]:
    """The newest run that holds each unit: seed -> fold -> run; `runs` come newest first."""
    held: dict[int, dict[int, Run]] = {}
    for run in runs:
        folds = held.setdefault(int(run.tags[tags.SEED]), {})
        for fold in unspell(run.tags[tags.FOLD]):
            folds.setdefault(fold, run)
    return held


def missing(
    held: Mapping[int, Mapping[int, Run]], seeds: Sequence[int], folds: int
) -> dict[int, list[int]]:
    """Folds that no run holds, by seed; seeds that have all are left out."""
    gaps = {s: [f for f in range(folds) if f not in held.get(s, {})] for s in seeds}
    return {seed: gap for seed, gap in gaps.items() if gap}
