"""Around the chain: weights, feature files, the spool, predictions, the service, the doctor."""

from pathlib import Path

import click

from backbench.cli import options
from backbench.cli.data import make_data
from backbench.cli.service import service

PATH = click.Path(path_type=Path)


@click.command("backbones")
def list_backbones() -> None:
    """The table of backbones: library and model, vector, licence."""
    from backbench.pipeline.weights import print_table

    print_table()


@click.command()
@options.backbone
@options.checkpoint
def prefetch(backbone: str, checkpoint: str) -> None:
    """Fetch weights on a machine with internet, so that others find them in the cache."""
    from backbench.pipeline.weights import prefetch as run

    run(backbone, checkpoint)


@click.group()
def features() -> None:
    """Check, export and import feature files."""


@features.command("verify")
@click.argument("files", type=PATH, nargs=-1, required=True)
def verify_features(files: tuple[Path, ...]) -> None:
    """Read all of feature files: checksums, counts, ids, finite values, key."""
    from backbench.pipeline.feature_files import verify as run

    for file in files:
        run(file)


@features.command("export")
@click.argument("file", type=PATH)
@click.argument("to", type=PATH)
@click.option("--layout", type=click.Choice(["npy", "nested"]), default="npy", show_default=True)
@click.option("--task", default="", help="Whose labels go into X_labels.npy.")
def export_features(file: Path, to: Path, layout: str, task: str) -> None:
    """Write FILE to TO: X.npy beside X_labels.npy and X_image_ids.npy, or HDF5 /a/b/c data sets."""
    from backbench.pipeline.feature_files import export as run

    run(file, to, layout=layout, task=task)


@features.command("import")
@click.argument("source", type=PATH)
@click.option("--layout", type=click.Choice(["npy", "nested"]), default="npy", show_default=True)
@options.task
@options.backbone
@options.checkpoint
@options.overrides
@click.option("--weights", default="unknown", show_default=True, help="SHA-256 of the weights.")
def import_features(
    source: Path,
    layout: str,
    task: str,
    backbone: str,
    checkpoint: str,
    overrides: tuple[str, ...],
    weights: str,
) -> None:
    """Take over features that something else computed for a task's samples."""
    from backbench.pipeline.feature_files import import_features as run

    run(
        source,
        layout=layout,
        task=task,
        backbone=backbone,
        checkpoint=checkpoint,
        weights=weights,
        overrides=overrides,
    )


@click.command()
@click.argument("folder", type=PATH, required=False)
def sync(folder: Path | None) -> int:
    """Send the runs that wait in the spool to the tracking server."""
    from backbench.pipeline.console import console
    from backbench.runs.sync import sync as run

    report = run(folder, console=console)
    click.echo(str(report))
    return 0 if report.is_complete else 1


@click.command()
@click.argument("pictures", type=PATH)
@click.option(
    "--task",
    default="digits",
    show_default=True,
    help="Whose champion answers: a task's name, or a path to its .toml.",
)
@click.option("--alias", default="champion", show_default=True)
@click.option("--out", type=PATH, default=Path("predictions.csv"), show_default=True)
def predict(pictures: Path, task: str, alias: str, out: Path) -> None:
    """Let the champion of a task answer for a picture or a folder of them, to CSV or Parquet."""
    from backbench.pipeline.predict import predict as run

    run(pictures, task=task, alias=alias, out=out)


@click.command()
@options.task
@click.option(
    "--backbones",
    type=options.Words(),
    default="",
    help="Whose weights to look for; else those whose features are here.",
)
@click.option("--verify", is_flag=True, help="Read feature files whole, not their headers.")
def doctor(task: str, backbones: tuple[str, ...], verify: bool) -> int:
    """Check what runs need, one line each with the cure; status 0 if all is well, else 1."""
    from backbench.pipeline.doctor import doctor as run

    return 0 if run(task, backbones, verify=verify) else 1


COMMANDS = (list_backbones, prefetch, make_data, features, sync, predict, service, doctor)
