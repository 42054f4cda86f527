"""Feature files by hand: check one, write it in a legacy layout, take one over."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

from backbench.backbones import spelled
from backbench.errors import BackbenchError, some
from backbench.features import exchange, hdf5, store
from backbench.files import atomic
from backbench.pipeline.console import say
from backbench.pipeline.question import Question
from backbench.samples import Samples, load_samples
from backbench.samples.load import set_name
from backbench.tasks import Task, load_task


def verify(file: Path) -> None:
    """Read all of a file and say what it holds.

    Raises:
        FeatureError: it is no feature file, or something in it is wrong.
    """
    report = exchange.verify(file)
    if not report.ok:
        raise hdf5.broken(file, f"is wrong: {'; '.join(report.problems)}")
    shards = f", {report.shards} shards beside it" if report.shards else ""
    say(f"{file}: {report.rows} x {report.dim} features, all checksums right{shards}")
    for name, value in sorted(report.attributes.items()):
        say(f"  {name}: {value}")


def export(file: Path, to: Path, *, layout: str, task: str) -> None:
    """Write a file in another layout; the labels are those of a task, if one is named."""
    atomic.check_writable(to)
    labels = _labels(Question.ask(task).samples.pictures) if task else None
    for path in exchange.export(file, to, layout, labels=labels):
        say(f"wrote {path}")


def import_features(
    source: Path,
    *,
    layout: str,
    task: str,
    backbone: str,
    checkpoint: str,
    weights: str,
    overrides: Sequence[str] = (),
) -> None:
    """Take over features that something else computed for a task's samples.

    Raises:
        FeatureError: they cannot be read, or are of none of these samples.
    """
    maker = exchange.Maker(backbone, checkpoint, weights)
    asked = load_task(task, overrides=overrides)
    name, pictures = set_name(asked), _pictures(asked)
    labels = None if isinstance(pictures, BackbenchError) else _labels(pictures)
    path = exchange.import_(source, layout, samples=name, maker=maker, labels=labels)
    say(f"imported into {path}")
    for line in _lacking(path, labels or {}, asked.name):
        say(line)
    command = (
        f"backbench run --task {quote(task)} --backbones {quote(spelled(backbone, checkpoint))}"
    )
    if overrides:
        command += f" --set {quote(';'.join(overrides))}"
    say(_use(asked, command, pictures))


def _pictures(task: Task) -> Samples | BackbenchError:
    """What features are of, or why that cannot be read here and now."""
    try:
        return load_samples(task).pictures
    except BackbenchError as error:
        return error


def _labels(pictures: Samples) -> dict[str, str]:
    return dict(zip(pictures.ids.tolist(), pictures.frame["label"], strict=True))


def _lacking(path: Path, labels: Mapping[str, str], task: str) -> Iterator[str]:
    """How far an import and the samples of a task are not the same."""
    stored = store.read_table(path)["sample_id"].tolist()
    lacking, foreign = set(labels) - set(stored), set(stored) - set(labels)
    if lacking:
        which = some(each for each in labels if each in lacking)
        yield f"lacking   {len(lacking)} of {len(labels)} samples of '{task}': {which}"
    if foreign and labels:
        which = some(each for each in stored if each in foreign)
        yield f"foreign   {len(foreign)} of {len(stored)} vectors, no samples of '{task}': {which}"


def _use(asked: Task, command: str, pictures: Samples | BackbenchError) -> str:
    """What features that were imported are good for: samples whose pictures are elsewhere."""
    if isinstance(pictures, BackbenchError):
        return f"unknown   whether runs will use them: {pictures}"
    if pictures.has_files:
        return (
            f"unused    by runs of '{asked.name}': its samples come with pictures, from which "
            "features are computed. To train on the imported ones, ask for samples without: a "
            "manifest without 'path'."
        )
    return f"next      {command}"
