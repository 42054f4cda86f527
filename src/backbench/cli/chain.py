"""The chain: extract, train_fold, evaluate, leaderboard, and all of them at once."""

from typing import cast

import click

from backbench.cli import options


@click.command()
@options.together(options.question, options.backbone, options.checkpoint)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Default: the backbone's own; 8 at once on a CPU.",
)
@click.option("--workers", type=click.IntRange(min=0), help="Decoding processes.")
@click.option("--verify", is_flag=True, help="Hash every sample again.")
def extract(
    task: str,
    variant: str,
    overrides: tuple[str, ...],
    permute_labels: bool,
    backbone: str,
    checkpoint: str,
    precision: str,
    batch_size: int | None,
    workers: int | None,
    verify: bool,
) -> None:
    """Compute the features of a task's samples; only those that are not there yet."""
    from backbench.pipeline.extract import extract as run
    from backbench.pipeline.question import Question, Speed

    changed = options.changes(overrides, permute_labels=permute_labels)
    question = Question.told(task, variant=variant, overrides=changed)
    speed = Speed(precision=precision, batch_size=batch_size, workers=workers, verify=verify)
    run(question, backbone, checkpoint, speed=speed, adopt=True)


@click.command("train-fold")
@options.together(
    options.question,
    options.backbone,
    options.checkpoint,
    options.seed,
    options.fold,
    options.head,
)
def train_fold(
    task: str,
    variant: str,
    overrides: tuple[str, ...],
    permute_labels: bool,
    backbone: str,
    checkpoint: str,
    seed: str,
    fold: str,
    head: str,
) -> None:
    """Train a head on folds and seeds in one pass; missing features are extracted on the way."""
    from backbench.pipeline.question import Question
    from backbench.pipeline.train_fold import train_fold as run

    changed = options.changes(overrides, permute_labels=permute_labels)
    question = Question.told(task, variant=variant, head=head, overrides=changed)
    run(question, backbone, checkpoint, seed=seed, fold=fold)


@click.command()
@options.together(options.question, options.backbone, options.checkpoint, options.head)
@click.option(
    "--allow-incomplete",
    type=click.BOOL,
    is_flag=False,
    flag_value="true",
    default="false",
    help="Summarise although units are missing; the run is marked and never ranked.",
)
def evaluate(
    task: str,
    variant: str,
    overrides: tuple[str, ...],
    permute_labels: bool,
    backbone: str,
    checkpoint: str,
    head: str,
    allow_incomplete: bool,
) -> None:
    """Summarise all folds and seeds of one backbone and checkpoint."""
    from backbench.pipeline.evaluate import evaluate as run
    from backbench.pipeline.question import Question

    changed = options.changes(overrides, permute_labels=permute_labels)
    question = Question.ask(task, variant=variant, head=head, overrides=changed)
    run(question, backbone, checkpoint, allow_incomplete=allow_incomplete)


@click.command()
@options.together(options.question, options.head)
@click.option(
    "--compare",
    type=click.Choice(["backbones", "variants", "heads"]),
    default="backbones",
    show_default=True,
    help="What may differ between two rows.",
)
@click.option(
    "--backbones",
    type=options.Words(),
    default="",
    help="Rank only these, backbone or backbone=checkpoint; the champion stays.",
)
@click.option(
    "--register",
    type=click.BOOL,
    is_flag=False,
    flag_value="true",
    default="true",
    show_default=True,
    help="Register the best as champion if the evidence allows it.",
)
@click.option("--force", is_flag=True, help="Move the champion whatever the evidence says.")
@click.option("--reason", default="", help="Why, with --force; kept with the model version.")
@click.option("--power", is_flag=True, help="How many more groups or seeds would separate rows.")
@click.option("--latex", is_flag=True, help="Also write leaderboard.tex, for a paper.")
@click.option("--out", type=click.Path(file_okay=False), default="board", show_default=True)
def leaderboard(
    task: str,
    variant: str,
    overrides: tuple[str, ...],
    permute_labels: bool,
    head: str,
    compare: str,
    backbones: tuple[str, ...],
    register: bool,
    force: bool,
    reason: str,
    power: bool,
    latex: bool,
    out: str,
) -> None:
    """Rank what is comparable and complete, and register the champion."""
    from backbench.pipeline.champion import Registration
    from backbench.pipeline.leaderboard import Axis
    from backbench.pipeline.leaderboard import leaderboard as run

    registration = Registration(wanted=register, force=force, reason=reason)
    run(
        task,
        variant=variant,
        head=head,
        overrides=options.changes(overrides, permute_labels=permute_labels),
        compare=cast("Axis", compare),
        backbones=backbones,
        registration=registration,
        power=power,
        latex=latex,
        out=out,
    )


@click.command("run")
@options.together(options.question, options.seed, options.head)
@click.option(
    "--backbones",
    type=options.Words(),
    required=True,
    help="backbone or backbone=checkpoint, separated by commas.",
)
def run_chain(
    task: str,
    variant: str,
    overrides: tuple[str, ...],
    permute_labels: bool,
    seed: str,
    head: str,
    backbones: tuple[str, ...],
) -> None:
    """The whole chain over several backbones."""
    from backbench.pipeline.chain import run_chain as run
    from backbench.pipeline.question import Question

    changed = options.changes(overrides, permute_labels=permute_labels)
    question = Question.told(task, variant=variant, head=head, overrides=changed)
    run(question, backbones, seed=seed)


@click.command()
def demo() -> None:
    """The whole chain on real handwritten digits, to a leaderboard and a champion."""
    from backbench.pipeline.chain import demo as run

    run()


COMMANDS = (extract, train_fold, evaluate, leaderboard, run_chain, demo)
