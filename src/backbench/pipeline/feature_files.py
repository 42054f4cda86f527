"""Feature files by hand: check one, write it in a legacy layout, take one over."""

from pathlib import Path

from backbench.errors import FeatureError
from backbench.features import exchange
from backbench.pipeline.console import say
from backbench.pipeline.question import Question
from backbench.samples.load import set_name
from backbench.tasks import load_task


def verify(file: Path) -> None:
    """Read all of a file and say what it holds.

    Raises:
        FeatureError: it is no feature file, or something in it is wrong.
    """
    report = exchange.verify(file)
    if not report.ok:
        raise FeatureError(f"{file}: {'; '.join(report.problems)}. Move it away and extract again.")
    shards = f", {report.shards} shards beside it" if report.shards else ""
    say(f"{file}: {report.rows} x {report.dim} features, all checksums right{shards}")
    for name, value in sorted(report.attributes.items()):
        say(f"  {name}: {value}")


def export(file: Path, to: Path, *, layout: str, task: str) -> None:
    """Write a file in another layout; the labels are those of a task, if one is named."""
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
    path = exchange.import_(source, layout, samples=set_name(load_task(task)), maker=maker)
    say(f"imported into {path}")
