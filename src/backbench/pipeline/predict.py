"""predict: the champion of a task answers for pictures in a folder."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError, TrackingError, some
from backbench.features.loading import Pictures
from backbench.files import atomic
from backbench.pipeline.console import bar, say
from backbench.runs.registry import Registry, Version
from backbench.runs.serving import Predictor
from backbench.samples import FileSource
from backbench.samples.source import of_no_format, parted_below
from backbench.tasks import load_task, packaged_tasks


def predict(pictures: Path, *, task: str, alias: str, out: Path) -> pd.DataFrame:
    """Answer for a picture or every picture below a folder, and write the answers to `out`.

    Pictures that cannot be read are left out, and listed in `answers_errors.csv` beside an `out`
    called `answers.csv`; the list of an earlier call is removed where all can.

    Args:
        pictures: a file or a folder.
        task: whose registered model answers: a packaged task, a task file, or the task's name.
        alias: `champion` or `challenger`.
        out: `.csv` or `.parquet`; columns `path, class, probability, p_<class>..., model_version`.

    Raises:
        SampleError: no pictures there, or more unreadable ones than the task's
            `max_error_fraction` allows (none, where it is only named); by then the others are
            answered for.
        TrackingError: nobody holds the alias.
        BackboneError: the backbone's weights are not those the champion was trained on.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise SampleError(f"'{out}' is neither .csv nor .parquet; name the output so.")
    name, allowed = _asked(task)
    paths = _found(pictures)
    atomic.check_writable(out)
    version = _holder(name, alias, task)
    answers, errors = _answers(Predictor(Registry().download(version)), paths)
    answers["model_version"] = f"{version.name}/{version.version}"
    listed = out.with_name(f"{out.stem}_errors.csv")
    if errors.empty:
        listed.unlink(missing_ok=True)
    if len(answers):
        _write(answers, out)
        say(f"predict   {_said(answers)} by {version.name} version {version.version}: {out}")
    if len(errors):
        _tell(errors, len(paths), allowed, listed)
    return answers


def _asked(task: str) -> tuple[str, float]:
    """Name of the task, and which share of pictures may be unreadable."""
    if Path(task).suffix == ".toml" or task in packaged_tasks():
        loaded = load_task(task)
        return loaded.name, loaded.max_error_fraction
    return task, 0.0


def _holder(name: str, alias: str, task: str) -> Version:
    version = Registry().current(name, alias)
    if version is None:
        known = task if task != name or task in packaged_tasks() else "TASK.toml"
        raise TrackingError(
            f"nobody is {alias} of '{name}' (imported features alone make none, since no model "
            "could answer for a picture); register one with: "
            f"backbench leaderboard --task {quote(known)}"
        )
    return version


def _found(pictures: Path) -> list[str]:
    if pictures.is_file():
        return [str(pictures)]
    found, others = parted_below(pictures)
    if unread := of_no_format(others):
        say(f"warning   {unread}.")
    if not found:
        what = "has no pictures below it" if pictures.is_dir() else "does not exist"
        raise SampleError(f"{pictures.absolute()} {what}; give a picture or a folder of some.")
    return [str(path) for path in found]


def _said(answers: pd.DataFrame) -> str:
    """How many there are; of one picture the answer itself."""
    if len(answers) > 1:
        return f"{len(answers):,} pictures"
    (one,) = answers.to_dict("records")
    return f"{one['path']} is '{one['class']}', probability {one['probability']:.3f},"


def _answers(predictor: Predictor, paths: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers for the readable ones, and `path, error` of the others."""
    champion, backbone = predictor.champion, predictor.backbone
    pictures = Pictures(FileSource(paths), backbone.transform, champion.min_side)
    answered, failures = [], []
    shares = [np.zeros((0, len(champion.classes)), np.float32)]
    with bar("predict") as advance:
        for start in range(0, len(paths), backbone.batch_size):
            rows = list(range(start, min(start + backbone.batch_size, len(paths))))
            batch = pictures[rows]
            failures += [(paths[row], error) for row, error in batch.failures]
            answered += [paths[row] for row in batch.rows]
            if batch.pixels is not None:
                shares.append(predictor.probabilities_of_pixels(batch.pixels))
            advance(rows[-1] + 1, len(paths))
    answers = _table(champion.classes, answered, np.concatenate(shares))
    return answers, pd.DataFrame(failures, columns=["path", "error"])


def _table(classes: Sequence[str], paths: list[str], p: NDArray[np.float32]) -> pd.DataFrame:
    table = pd.DataFrame(p, columns=[f"p_{name}" for name in classes])
    table.insert(0, "path", paths)
    table.insert(1, "class", [classes[i] for i in p.argmax(axis=1)])
    table.insert(2, "probability", p.max(axis=1, initial=0.0))
    return table


def _tell(errors: pd.DataFrame, total: int, allowed: float, listed: Path) -> None:
    """List the unreadable; an error where they are more than allowed, as in `extract`."""
    with atomic.replacing(listed) as temporary:
        errors.to_csv(temporary, index=False)
    line = (
        f"{len(errors)} of {total} pictures cannot be read: "
        f"{some(errors['path'])} ({errors['error'].iloc[0].rstrip('.')}). "
        f"All of them are listed in {listed}."
    )
    if len(errors) == total or len(errors) > allowed * total:
        others = "; the others are answered for" if len(errors) < total else ""
        raise SampleError(f"{line} Mend or remove them{others}.")
    say(f"predict   {line}")


def _write(table: pd.DataFrame, out: Path) -> None:
    with atomic.replacing(out) as temporary:
        if out.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary)
