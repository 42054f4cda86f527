"""What of a question is there: the store has the features, the tracker all that is recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backbench.backbones import parse_backbone
from backbench.errors import WeightsMissingError
from backbench.files.switches import environment
from backbench.pipeline.evaluate import find_summary
from backbench.pipeline.evidence import evidence_key
from backbench.pipeline.extract import features_here
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.submit_pack import BOARD, EVALUATE, EXTRACT, TRAIN, Item
from backbench.pipeline.train_fold import find_trained
from backbench.pipeline.units import trained
from backbench.runs import Run, Tracker, tags

_HUB = "HF_HUB_OFFLINE"
"""With it, weights that are not here are missing instead of being downloaded."""


@dataclass(frozen=True)
class Standing:
    """How far one backbone is.

    Attributes:
        backbone: `clip` or `clip=checkpoint`.
        folds: how many there are.
        has_weights: whether they are on this machine.
        has_features: whether the features of all samples are here, or with a run.
        held: the run of each unit that is there: seed -> fold -> run.
        summary: the evaluate run over all units; None where it is missing or older.
    """

    backbone: str
    folds: int
    has_weights: bool = True
    has_features: bool = False
    held: Mapping[int, Mapping[int, Run]] = field(default_factory=dict)
    summary: Run | None = None


@dataclass(frozen=True)
class Survey:
    """How far a question is.

    Attributes:
        question: what is asked.
        standings: one a backbone.
        board: a leaderboard run of the same protocol, newer than every summary.
    """

    question: Question
    standings: tuple[Standing, ...]
    board: Run | None

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything there has to be in the end."""
        seeds = self.question.task.seeds
        each = (tuple(_items(standing, seeds)) for standing in self.standings)
        return (*(item for items in each for item in items), Item(BOARD))

    def has(self, item: Item) -> Run | bool | None:
        """The run that holds an item; true for features that are here; else nothing."""
        if item.step == BOARD:
            return self.board
        (of,) = (each for each in self.standings if each.backbone == item.backbone)
        if item.step == TRAIN:
            return of.held.get(item.seed, {}).get(item.fold)
        return of.has_features if item.step == EXTRACT else of.summary


def survey(question: Question, backbones: Sequence[str], *, fetch: bool = False) -> Survey:
    """Ask the store and the tracker, computing nothing.

    Args:
        question: what is asked.
        backbones: `clip` or `clip=checkpoint`.
        fetch: bring the weights to this machine; else none are downloaded.

    Raises:
        BackboneError: one is unknown, or its weights do not fit or cannot be fetched.
        TrackingError: the tracker cannot be asked.
    """
    with environment({} if fetch else {_HUB: "1"}):
        standings = tuple(_standing(question, spec, fetch=fetch) for spec in backbones)
    return Survey(question, standings, _board(question, standings))


def _standing(question: Question, spec: str, *, fetch: bool) -> Standing:
    name, checkpoint = parse_backbone(spec)
    try:
        features = features_here(question, name, checkpoint)
    except WeightsMissingError:
        if fetch:
            raise
        return Standing(spec, len(question.plan), has_weights=False)
    if features is None:
        return Standing(spec, len(question.plan))
    study = Study.of(question, name, checkpoint, features)
    seeds, folds = question.task.seeds, len(study.plan)
    held = {s: runs for s, runs in trained(find_trained(study)).items() if s in seeds}
    runs = {run.run_id: run for of_seed in held.values() for run in of_seed.values()}
    whole = sum(map(len, held.values())) == len(seeds) * folds
    summary = find_summary(study, evidence_key(runs.values())) if whole else None
    return Standing(spec, folds, has_features=True, held=held, summary=summary)


def _board(question: Question, standings: Sequence[Standing]) -> Run | None:
    summaries = [each.summary for each in standings if each.summary]
    if len(summaries) < len(standings):
        return None
    wanted = {tags.STAGE: BOARD, tags.TASK: question.task.name}
    latest = max(run.start for run in summaries)
    for protocol in sorted({run.tags[tags.PROTOCOL] for run in summaries}):
        found = Tracker().find({**wanted, tags.PROTOCOL: protocol}, limit=1)
        if found and found[0].start >= latest:
            return found[0]
    return None


def _items(of: Standing, seeds: Sequence[int]) -> Iterator[Item]:
    yield Item(EXTRACT, of.backbone)
    yield from (Item(TRAIN, of.backbone, seed, fold) for seed in seeds for fold in range(of.folds))
    yield Item(EVALUATE, of.backbone)
