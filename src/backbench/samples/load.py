"""The samples of a task: built in, a manifest, a folder per class, or plants over time."""

import re
from pathlib import Path

import pandas as pd

from backbench.errors import SampleError, unknown
from backbench.samples.builtin import BUILT_IN
from backbench.samples.manifest import read_folder, read_manifest
from backbench.samples.plants import is_plants, read_plants
from backbench.samples.samples import Samples
from backbench.samples.source import FileSource, NoFiles
from backbench.tasks import Task

_MANIFESTS = frozenset({".csv", ".tsv", ".txt", ".parquet"})


def load_samples(task: Task) -> Samples:
    """Load and check the samples of a task.

    Raises:
        SampleError: nothing of that name, a wrong table, counts that differ from the task's, or
            more missing files than `max_error_fraction` allows.
    """
    samples = _load(task)
    samples.check(task.expect)
    return samples.permuted() if task.permute_labels else samples


def _load(task: Task) -> Samples:
    if task.samples in BUILT_IN:
        return BUILT_IN[task.samples]()
    path, name = _local(task.samples), set_name(task)
    if is_plants(path):
        samples = read_plants(path, name=name, group=task.folds.group)
    elif path.is_dir():
        samples = _of_files(name, read_folder(path))
    elif path.suffix in _MANIFESTS and path.is_file():
        samples = _of_files(name, read_manifest(path, group=task.folds.group))
    else:
        raise SampleError(
            unknown("samples", task.samples, BUILT_IN)
            + " Or give a folder per class, a folder of plants, or a .csv, .tsv or .parquet "
            "manifest that exists: samples in the task file, or --set samples=PATH."
        )
    _check_files(samples.pictures.frame["path"].tolist(), task.max_error_fraction)
    return samples


def _of_files(name: str, frame: pd.DataFrame) -> Samples:
    paths = tuple(frame["path"])
    return Samples(name, frame, FileSource(paths) if any(paths) else NoFiles())


def _local(samples: str) -> Path:
    if not samples.startswith("s3://"):
        return Path(samples).expanduser()
    from backbench.files.bucket import fetch

    return fetch(samples)


def set_name(task: Task) -> str:
    """What the samples of a task are called, and the folder of their feature files.

    Built-in ones have a name of their own. Others are called after the task, since samples of two
    tasks may share ids but not contents; as the name of a folder that is neither hidden nor `..`.
    """
    if task.samples in BUILT_IN:
        return task.samples
    return re.sub(r"[^A-Za-z0-9._-]|^\.", "-", task.name)


def _check_files(paths: list[str], max_error_fraction: float) -> None:
    if not any(paths):
        return
    absent = [p for p in paths if not p.startswith("s3://") and not Path(p).is_file()]
    if len(absent) > max_error_fraction * len(paths):
        raise SampleError(
            f"{len(absent)} of {len(paths)} files are missing, the first is '{absent[0]}'; "
            "mend the paths, or allow some with max_error_fraction."
        )
