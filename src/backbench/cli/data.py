"""make-data: data whose truth is known."""

import math
from pathlib import Path

import click

from backbench.cli import options


def _strength(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """NaN, which no range leaves out, is no strength."""
    if math.isnan(value):
        raise click.BadParameter(f"{value} is not in the range 0<=x<=1.")
    return value


class Strengths(options.Words):
    """`name=number`s, separated by commas; a name alone takes the strength of `--signal`."""

    name = "name=0.6,..."


@click.command("make-data")
@click.argument("task", metavar="TASK")
@click.option("--plants", type=int, default=264, show_default=True, help="Accessions of 6.")
@click.option(
    "--signal",
    type=click.FloatRange(0, 1),
    callback=_strength,
    default=0.6,
    show_default=True,
    help="Strength of the signal, unless it is given by name below.",
)
@click.option("--signals", type=Strengths(), default="", help="image=0.6,fluor=0.2,env=0,vi=0.6")
@click.option(
    "--backbones",
    type=Strengths(),
    default="dinov2,clip,bioclip,bioclip2",
    show_default=True,
    help="Whose features to write; clip=0.9 makes a better one.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--pictures", is_flag=True, help="Also draw the pictures, small, as JPEGs.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; else where the task looks.")
def make_data(
    task: str,
    plants: int,
    signal: float,
    signals: tuple[str, ...],
    backbones: tuple[str, ...],
    seed: int,
    pictures: bool,
    out: Path | None,
) -> None:
    """Make a data set of the shape of TASK (faba), with a signal of known strength."""
    from backbench.pipeline.make_data import make_data as run
    from backbench.pipeline.make_data import strengths
    from backbench.samples.made_plants import WIDTHS, Wish

    by_modality = dict.fromkeys(WIDTHS, signal) | strengths(signals, signal)
    wish = Wish(plants, by_modality, seed)
    of_backbones = strengths(backbones, by_modality["image"])
    run(task, wish=wish, backbones=of_backbones, out=out, pictures=pictures)
