"""train_fold: every missing fold of every seed asked for, trained in one pass; one run a seed.

A head that trains its units one by one is asked for a seed at a time, which is recorded before the
next begins: a job that is killed loses one seed at most.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np

from backbench.backbones import device
from backbench.files import atomic
from backbench.files.arrays import pack
from backbench.folds import Fold
from backbench.heads import HEADS, Unit, UnitResult, warm_up
from backbench.heads import train as train_heads
from backbench.metrics import Predictions, resolve
from backbench.metrics.evidence import Evidence
from backbench.metrics.fold_mean import fold_values
from backbench.metrics.table import FOLD_MEAN
from backbench.pipeline.console import bar, say
from backbench.pipeline.extract import extract
from backbench.pipeline.mlflow_run import continued
from backbench.pipeline.out_of_fold import PREDICTIONS, out_of_fold
from backbench.pipeline.question import Question
from backbench.pipeline.study import Study
from backbench.pipeline.undefined import nulled
from backbench.pipeline.units import parse_seeds, spell, trained
from backbench.runs import Recording, Run, Tracker, environment, recording, tags

STAGE = "train_fold"
WEIGHTS = "heads.safetensors"
BY_FOLD = "by_fold"


@dataclass(frozen=True)
class Seedful:
    """The units of one seed as they came out of one pass."""

    seed: int
    results: tuple[UnitResult, ...]
    started: float
    seconds: float

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The folds that were trained."""
        return tuple(result.unit.fold for result in self.results)


def train_fold(
    question: Question, backbone: str, checkpoint: str, *, seed: str = "all", fold: str = "all"
) -> Study:
    """Train what is missing of the units asked for and record it.

    Raises:
        BackbenchError: whatever is wrong with the options, the weights or the data.
    """
    seeds = parse_seeds(seed, question.task.seeds)
    question.plan.select(fold)  # a fold that is not there is told before hours of extraction
    features = extract(question, backbone, checkpoint)
    study = Study.of(question, backbone, checkpoint, features)
    wanted = study.plan.select(fold)
    held = trained(find_trained(study))
    units = [Unit(fold=f, seed=s) for s in seeds for f in wanted if f.index not in held.get(s, {})]
    if units:
        alone = len({unit.seed for unit in units}) == 1
        given = {"seed": seed, "fold": fold}
        record_units(study, train_units(study, units), given, alone=alone)
    else:
        _tell_held(study, wanted, {s: held[s] for s in seeds})
    return study


def find_trained(study: Study) -> list[Run]:
    """Finished runs that hold units of this study, newest first."""
    wanted = {tags.STAGE: STAGE, tags.UNIT: study.unit_key, tags.COMPLETE: "true"}
    return Tracker().find(wanted)


def train_units(study: Study, units: Sequence[Unit]) -> Iterator[Seedful]:
    """Train units in one pass, or in one a seed; yields those of a seed, in the order of seeds."""
    ordered = sorted(units, key=lambda unit: (unit.seed, unit.fold.index))
    by_seed = [list(of_seed) for _, of_seed in groupby(ordered, key=lambda unit: unit.seed)]
    apart = HEADS[study.question.task.head["kind"]].apart
    for asked in by_seed if apart else [ordered]:
        yield from _one_pass(study, asked)


def _one_pass(study: Study, units: Sequence[Unit]) -> Iterator[Seedful]:
    """Train units, which come in the order of seeds; each has its share of the time."""
    head, where = study.question.task.head, _device()
    warm_up(head["kind"], where)
    started = time.time()
    with bar(f"train {study.name}") as advance:
        results = train_heads(head, study.problem, units, device=where, progress=advance)
    share = (time.time() - started) / len(units)
    for seed, group in groupby(results, key=lambda result: result.unit.seed):
        of_seed = tuple(group)
        yield Seedful(seed, of_seed, started, share * len(of_seed))


def _device() -> str:
    """A CUDA device where there is one: heads need float64, which MPS does not have."""
    where = device()
    return str(where) if where.type == "cuda" else "cpu"


def record_units(
    study: Study, trained: Iterable[Seedful], given: Mapping[str, str], *, alone: bool = True
) -> None:
    """One run a seed, as soon as it is trained.

    Where `mlflow run` began a run, a seed that is `alone` continues it, several hang below.
    """
    with nullcontext() if alone else _parent(study, note="One run a seed below this one."):
        for of_seed in trained:
            with recording(
                experiment=study.question.task.name,
                name=f"train {study.name} seed {of_seed.seed}",
                tags=study.tags(STAGE) | _unit_tags(of_seed),
                params={**study.params(), **given},
                adopt=alone,
                start=of_seed.started,
            ) as run:
                _log(run, study, of_seed)
            say(_summary(study, of_seed))


def _parent(study: Study, note: str) -> AbstractContextManager[None]:
    return continued(study.question.task.name, f"train {study.name}", study.tags(STAGE), note)


def _unit_tags(of_seed: Seedful) -> dict[str, object]:
    folds = spell(fold.index for fold in of_seed.folds)
    return {tags.SEED: of_seed.seed, tags.FOLD: folds, tags.COMPLETE: True}


def _log(run: Recording, study: Study, of_seed: Seedful) -> None:
    predictions = out_of_fold(study, of_seed.results, of_seed.seed)
    predictions.to_frame().to_parquet(run.artifact(PREDICTIONS))
    heads = {str(result.unit.fold.index): result.weights for result in of_seed.results}
    run.artifact(WEIGHTS).write_bytes(pack(heads))
    ids = study.samples.ids.tolist()
    study.plan.manifest(ids).to_parquet(run.artifact("folds.parquet"))
    atomic.write_json(run.artifact("task.json"), asdict(study.question.task))
    atomic.write_json(run.artifact("protocol.json"), dict(study.protocol.fields))
    atomic.write_json(run.artifact("environment.json"), environment())
    units = [nulled(_unit(result)) for result in of_seed.results]
    atomic.write_json(run.artifact("units.json"), units)
    run.dataset(*study.dataset)
    run.log_metric("train_seconds", of_seed.seconds)
    for name in study.question.task.metrics.report:
        _log_by_fold(run, name, predictions)


def _log_by_fold(run: Recording, name: str, predictions: Predictions) -> None:
    """A series with step = fold, and its mean over the folds where the metric is defined."""
    name = name.removesuffix(FOLD_MEAN)
    kernel = resolve(name, predictions.classes).kernel
    values = fold_values(kernel, Evidence.of(predictions))
    defined = {fold: value for fold, value in values.items() if np.isfinite(value)}
    for fold, value in defined.items():
        run.log_metric(f"{BY_FOLD}/{name}", value, step=fold)
    if defined:
        run.log_metric(name + FOLD_MEAN, float(np.mean(list(defined.values()))))
    if len(defined) < len(values):
        run.log_metric(f"{name}_folds_undefined", len(values) - len(defined))


def _unit(result: UnitResult) -> dict[str, object]:
    """What a unit chose and how it got there, for `units.json`."""
    return {
        "fold": result.unit.fold.index,
        "name": result.unit.fold.name,
        "seed": result.unit.seed,
        "chosen": {name: float(value) for name, value in result.chosen.items()},
        "history": {name: [*map(float, values)] for name, values in result.history.items()},
    }


def _summary(study: Study, of_seed: Seedful) -> str:
    folds = spell(fold.index for fold in of_seed.folds)
    return f"train     {study.name}: seed {of_seed.seed}, folds {folds} in {of_seed.seconds:.1f} s"


def _tell_held(study: Study, wanted: Sequence[Fold], held: Mapping[int, Mapping[int, Run]]) -> None:
    runs = sorted({run.run_id for folds in held.values() for run in folds.values()})
    with _parent(study, note=f"Nothing to do: the units are in {', '.join(runs)}."):
        for seed in held:
            folds = spell(fold.index for fold in wanted)
            say(f"train     {study.name}: seed {seed}, folds {folds} are there already")
