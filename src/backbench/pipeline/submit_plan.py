"""From what is missing to stages of tasks: extract, train, evaluate, leaderboard."""

from collections.abc import Sequence

from backbench.backbones import parse_backbone
from backbench.pipeline.question import Question
from backbench.pipeline.submit_pack import (
    BOARD,
    EVALUATE,
    EXTRACT,
    Command,
    Stage,
    train_commands,
)
from backbench.pipeline.submit_survey import Standing, Survey
from backbench.pipeline.units import missing


def plan_stages(
    there: Survey, seeds: Sequence[int], *, tasks: int = 1, tracked: bool = True
) -> tuple[Stage, ...]:
    """What is missing as stages, one task a backbone; a stage with nothing to do is left out.

    A summary is planned where all units of the task will be there, the board where all summaries
    will.

    Args:
        there: how far the question is.
        seeds: whose units to train.
        tasks: into how many tasks the units of a backbone are split.
        tracked: whether tasks reach the tracker; else evaluate and leaderboard have to wait.
    """
    question, standings = there.question, there.standings
    ready = [each for each in standings if _whole_after(each, question, seeds)]
    summaries = [each for each in ready if each.summary is None]
    board = len(ready) == len(standings) and (summaries or there.board is None)
    train = (_train(question, each, seeds, tasks) for each in standings)
    stages = [
        Stage.of(EXTRACT, ([_extract(question, s)] for s in standings if not s.has_features)),
        Stage.of("train", (task for of_one in train for task in of_one)),
        Stage.of(EVALUATE, ([_evaluate(question, each)] for each in summaries if tracked)),
        Stage.of(BOARD, [[board_command(question)]] if board and tracked else []),
    ]
    return tuple(stage for stage in stages if stage.tasks)


def board_command(question: Question) -> Command:
    """Of the question, over all backbones that were evaluated."""
    return Command(BOARD, question.command(BOARD))


def _extract(question: Question, of: Standing) -> Command:
    options = {**_options(of), "head": ""}
    return Command(EXTRACT, question.command(EXTRACT, **options), of.backbone)


def _evaluate(question: Question, of: Standing) -> Command:
    return Command(EVALUATE, question.command(EVALUATE, **_options(of)), of.backbone)


def _train(
    question: Question, of: Standing, seeds: Sequence[int], tasks: int
) -> list[list[Command]]:
    def line(seeds: tuple[int, ...], folds: str) -> str:
        units = {"seed": ",".join(map(str, seeds)), "fold": folds}
        return question.command("train-fold", **_options(of), **units)

    gaps = missing(of.held, seeds, of.folds)
    units = ((seed, fold) for seed, folds in gaps.items() for fold in folds)
    return train_commands(line, of.backbone, units, tasks)


def _options(of: Standing) -> dict[str, str]:
    name, checkpoint = parse_backbone(of.backbone)
    return {"backbone": name, "checkpoint": checkpoint}


def _whole_after(of: Standing, question: Question, seeds: Sequence[int]) -> bool:
    return set(missing(of.held, question.task.seeds, of.folds)) <= set(seeds)
