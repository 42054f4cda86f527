"""The samples of a task: built in, a manifest, a folder per class, or plants over time."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from backbench.errors import SampleError, unknown
from backbench.files.s3_address import is_s3
from backbench.samples.builtin import BUILT_IN
from backbench.samples.manifest import read_folder, read_manifest
from backbench.samples.plants import is_plants, read_plants
from backbench.samples.samples import Samples, check_filled, check_splits
from backbench.samples.source import FileSource, NoFiles
from backbench.tasks import FoldSettings, Task

_MANIFESTS = frozenset({".csv", ".tsv", ".txt", ".parquet"})


def load_samples(task: Task) -> Samples:
    """Load and check the samples of a task.

    Raises:
        SampleError: nothing of that name, a wrong table, counts that differ from the task's, or
            more missing files than `max_error_fraction` allows.
    """
    samples = _load(task)
    if task.folds.uses_splits:
        check_splits(samples.frame)
    samples.check(task.expect)
    return samples.permuted(int(task.permute_labels)) if task.permute_labels else samples


def _load(task: Task) -> Samples:
    if task.samples in BUILT_IN:
        samples = BUILT_IN[task.samples]()
        return replace(samples, frame=_grouped(samples.frame, task))
    path, name = _local(task.samples), set_name(task)
    if is_plants(path):
        samples = read_plants(path, name=name, group=task.folds.group_column)
    elif path.is_dir():
        samples = _of_files(name, *read_folder(path), task)
    elif path.suffix in _MANIFESTS and path.is_file():
        address = task.samples if is_s3(task.samples) else str(path)
        samples = _of_files(name, read_manifest(path, address), (), task)
    else:
        raise SampleError(_neither(task.samples, path))
    _check_files(samples.pictures.frame["path"].tolist(), task.max_error_fraction)
    return samples


def _neither(given: str, path: Path) -> str:
    readable = (
        "a folder per class, a folder of plants, or a .csv, .tsv, .txt or .parquet manifest: "
        "samples in the task file, or --set samples=PATH."
    )
    if path.exists():
        return f"samples '{given}' are of a format that is not read; give {readable}"
    absent = f"{path.absolute()} does not exist, and nothing of that name is beside the task file"
    return f"{unknown('samples', given, BUILT_IN)} {absent}; give {readable}"


def _grouped(frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The table with a `group`: of the column that the task names, or each sample its own.

    Raises:
        SampleError: the task names a column, or keeps groups together, and there is none.
    """
    folds = task.folds
    if folds.group_column in frame:
        check_filled(frame, folds.group_column, _fill(folds))
        return frame.assign(group=frame[folds.group_column])
    if not folds.needs_groups:
        return frame.assign(group=frame["sample_id"])
    why = "folds.group names" if folds.group else f"folds.scheme = '{folds.scheme}' keeps together"
    raise SampleError(
        f"samples '{task.samples}' have no column '{folds.group_column}', which {why}; they have "
        f"{', '.join(frame.columns)}. Name the column of groups with folds.group (a folder per "
        "class has none: write a manifest)."
    )


def _fill(folds: FoldSettings) -> str:
    if folds.needs_groups:
        return "fill that column, which the task's folds keep together, or leave them out"
    return "fill that column, or remove it to make every sample its own group"


def _of_files(name: str, table: pd.DataFrame, doubts: tuple[str, ...], task: Task) -> Samples:
    given = {"split": table.get("split", ""), "path": table.get("path", "")}
    frame = _grouped(table, task).assign(**given)
    paths = tuple(frame["path"])
    source = FileSource(paths) if any(paths) else NoFiles(_no_paths(table))
    return Samples(name, frame, source, doubts=doubts)


def _no_paths(table: pd.DataFrame) -> str:
    if "path" in table:
        return "the column 'path' is empty"
    return f"there is no column 'path', only {', '.join(table.columns)}"


def _local(samples: str) -> Path:
    if not is_s3(samples):
        return Path(samples).expanduser()
    from backbench.files.bucket import fetch

    return fetch(samples)


def set_name(task: Task) -> str:
    """What the samples of a task are called, and the folder of their feature files.

    Built-in ones have a name of their own. Others are called after the task, since samples of two
    tasks may share ids but not contents; as the name of a folder that is neither hidden nor `..`,
    with a hash where that is not the task's own.
    """
    if task.samples in BUILT_IN:
        return task.samples
    folder = re.sub(r"[^A-Za-z0-9._-]|^\.", "-", task.name)
    hashed = hashlib.sha256(task.name.encode()).hexdigest()[:8]
    return folder if folder == task.name else f"{folder}-{hashed}"


def _check_files(paths: list[str], max_error_fraction: float) -> None:
    if not any(paths):
        return
    absent = [p for p in paths if not is_s3(p) and not Path(p).is_file()]
    if len(absent) > max_error_fraction * len(paths):
        raise SampleError(
            f"{len(absent)} of {len(paths)} files are missing, the first is '{absent[0]}'; "
            "mend the paths, or allow some with max_error_fraction."
        )
