"""The samples of a task: built in, a manifest, or a folder per class."""

import re
from pathlib import Path

from backbench.errors import SampleError, unknown
from backbench.samples.builtin import BUILT_IN
from backbench.samples.manifest import read_folder, read_manifest
from backbench.samples.samples import Samples
from backbench.samples.source import FileSource
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
    path = _local(task.samples)
    if path.is_dir():
        frame = read_folder(path)
    elif path.suffix in _MANIFESTS and path.is_file():
        frame = read_manifest(path, group=task.folds.group)
    else:
        raise SampleError(
            unknown("samples", task.samples, BUILT_IN)
            + " Or give a folder per class, or a .csv, .tsv or .parquet manifest that exists."
        )
    _check_files(frame["path"].tolist(), task.max_error_fraction)
    return Samples(_folder_name(task), frame, FileSource(tuple(frame["path"])))


def _local(samples: str) -> Path:
    if not samples.startswith("s3://"):
        return Path(samples).expanduser()
    from backbench.files.bucket import fetch

    return fetch(samples)


def _folder_name(task: Task) -> str:
    """Feature files are kept by task name: samples of two tasks may share ids, not contents."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", task.name)


def _check_files(paths: list[str], max_error_fraction: float) -> None:
    absent = [p for p in paths if not p.startswith("s3://") and not Path(p).is_file()]
    if len(absent) > max_error_fraction * len(paths):
        raise SampleError(
            f"{len(absent)} of {len(paths)} files are missing, the first is '{absent[0]}'; "
            "mend the paths, or allow some with max_error_fraction."
        )
