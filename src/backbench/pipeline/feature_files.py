"""Feature files by hand: check one, write it in a legacy layout, take one over."""

from pathlib import Path
from shlex import quote

from backbench.backbones import spelled
from backbench.errors import BackbenchError
from backbench.features import exchange, hdf5
from backbench.files import atomic
from backbench.pipeline.console import say
from backbench.pipeline.question import Question
from backbench.samples import load_samples
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
    samples = Question.ask(task).samples.pictures if task else None
    labels = (
        dict(zip(samples.ids.tolist(), samples.frame["label"], strict=True)) if samples else None
    )
    for path in exchange.export(file, to, layout, labels=labels):
        say(f"wrote {path}")


def import_features(
    source: Path, *, layout: str, task: str, backbone: str, checkpoint: str, weights: str
) -> None:
    """Take over features that something else computed for a task's samples."""
    maker = exchange.Maker(backbone, checkpoint, weights)
    asked = load_task(task)
    path = exchange.import_(source, layout, samples=set_name(asked), maker=maker)
    say(f"imported into {path}")
    say(_use(asked, task, spelled(backbone, checkpoint)))


def _use(asked: Task, source: str, backbone: str) -> str:
    """What features that were imported are good for: samples whose pictures are elsewhere."""
    try:
        has_files = load_samples(asked).pictures.has_files
    except BackbenchError as error:
        return f"unknown   whether runs will use them: {error}"
    if has_files:
        return (
            f"unused    by runs of '{asked.name}': its samples come with pictures, from which "
            "features are computed. To train on the imported ones, ask for samples without: a "
            "manifest without 'path'."
        )
    return f"next      backbench run --task {quote(source)} --backbones {quote(backbone)}"
