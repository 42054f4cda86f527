"""predict: the champion of a task answers for pictures in a folder."""

from pathlib import Path

import pandas as pd

from backbench.errors import SampleError, TrackingError
from backbench.files import atomic
from backbench.files.listing import files_below
from backbench.pipeline.console import bar, say
from backbench.runs.registry import Registry
from backbench.runs.serving import Predictor
from backbench.samples.source import PICTURE_SUFFIXES

_AT_ONCE = 64


def predict(pictures: Path, *, task: str, alias: str, out: Path) -> pd.DataFrame:
    """Answer for a picture or every picture below a folder, and write the answers to `out`.

    Args:
        pictures: a file or a folder.
        task: whose registered model answers.
        alias: `champion` or `challenger`.
        out: `.csv` or `.parquet`; columns `path, class, probability, p_<class>..., model_version`.

    Raises:
        SampleError: no pictures there, or one that cannot be read.
        TrackingError: nobody holds the alias.
        BackboneError: the backbone's weights are not those the champion was trained on.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise SampleError(f"'{out}' is neither .csv nor .parquet; name the output so.")
    paths = _below(pictures)
    version = Registry().current(task, alias)
    if version is None:
        raise TrackingError(
            f"nobody is {alias} of '{task}'; register one with: backbench leaderboard --task {task}"
        )
    predictor = Predictor(Registry().download(version), paths=True)
    table = _answers(predictor, paths)
    table["model_version"] = f"{version.name}/{version.version}"
    _write(table, out)
    say(f"predict   {len(table)} pictures by {version.name} version {version.version}: {out}")
    return table


def _below(pictures: Path) -> list[str]:
    if pictures.is_file():
        return [str(pictures)]
    files = files_below(pictures) if pictures.is_dir() else []
    found = [str(path) for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise SampleError(f"'{pictures}' is no picture and no folder with pictures below it.")
    return found


def _answers(predictor: Predictor, paths: list[str]) -> pd.DataFrame:
    classes = predictor.champion.classes
    parts = []
    with bar("predict") as advance:
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            p = predictor.probabilities(some)
            part = pd.DataFrame(p, columns=[f"p_{name}" for name in classes])
            part.insert(0, "path", some)
            part.insert(1, "class", [classes[i] for i in p.argmax(axis=1)])
            part.insert(2, "probability", p.max(axis=1))
            parts.append(part)
            advance(start + len(some), len(paths))
    return pd.concat(parts, ignore_index=True)


def _write(table: pd.DataFrame, out: Path) -> None:
    with atomic.replacing(out) as temporary:
        if out.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary)
