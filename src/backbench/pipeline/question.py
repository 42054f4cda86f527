"""What is asked, resolved and checked before anything is computed."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from shlex import quote

from backbench.errors import HeadError, TaskError
from backbench.folds import FoldPlan, plan_folds
from backbench.heads import check_takes, settings_of
from backbench.metrics import resolve
from backbench.pipeline.about_samples import about_samples
from backbench.pipeline.console import say
from backbench.samples import Samples, load_samples
from backbench.tasks import Task, load_task


@dataclass(frozen=True)
class Speed:
    """How features are computed; nothing of it changes what they are beyond the stated check."""

    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    verify: bool = False


@dataclass(frozen=True)
class Question:
    """A resolved task over its samples.

    Attributes:
        source: the task as it was named: a packaged name or a path.
        task: with every setting of its head, defaults included.
        own: the task as its file has it, without variant, head and overrides.
        samples: loaded and checked.
        overrides: the `field=value`s it was asked with.
    """

    source: str
    task: Task
    own: Task
    samples: Samples
    overrides: tuple[str, ...] = ()

    @classmethod
    def ask(
        cls, source: str, *, variant: str = "", head: str = "", overrides: Iterable[str] = ()
    ) -> "Question":
        """Resolve a task and load its samples.

        Raises:
            TaskError, HeadError, MetricError, SampleError: whatever is wrong with either.
        """
        overrides = tuple(overrides)
        task = resolve_task(source, variant=variant, head=head, overrides=overrides)
        samples = load_samples(task)
        for name in (task.metrics.primary, *task.metrics.report):
            resolve(name, samples.outcomes)
        check_takes(task.head["kind"], samples.series)
        return cls(source, task, resolve_task(source), samples, overrides)

    @classmethod
    def told(
        cls, source: str, *, variant: str = "", head: str = "", overrides: Iterable[str] = ()
    ) -> "Question":
        """`ask`, and say what the samples are, before anything is computed from them."""
        question = cls.ask(source, variant=variant, head=head, overrides=overrides)
        for line in about_samples(question.samples):
            say(line)
        return question

    @cached_property
    def plan(self) -> FoldPlan:
        """Folds over all samples, known before anything is computed."""
        return plan_of(self.task, self.samples)

    def command(self, step: str, **options: str) -> str:
        """The command line that does `step` for this question; an empty option is left out."""
        asked = {
            "task": self.source,
            **options,
            "head": options.get("head", self.task.head["kind"]),
            "variant": self.task.variant,
            "set": ";".join(self.overrides),
        }
        words = [f"--{name} {quote(value)}" for name, value in asked.items() if value]
        return " ".join(["backbench", step, *words])


def plan_of(task: Task, samples: Samples) -> FoldPlan:
    """The folds of a task over some samples."""
    return plan_folds(
        task.folds,
        y=samples.y,
        groups=samples.groups,
        splits=samples.splits,
        order=samples.ids.tolist(),
        strata=samples.column(task.folds.stratum, "folds.stratum") if task.folds.stratum else None,
    )


def resolve_task(
    source: str, *, variant: str = "", head: str = "", overrides: Iterable[str] = ()
) -> Task:
    """A task whose head settings are complete, defaults included.

    Raises:
        TaskError, HeadError: whatever is wrong with it, or with a variant that is not asked for.
    """
    task = load_task(source, variant=variant, head=head, overrides=overrides)
    settings = settings_of(task.head)
    _check_variants(source, task)
    return replace(task, head={"kind": task.head["kind"], **asdict(settings)})


def _check_variants(source: str, task: Task) -> None:
    """The heads of variants that are not asked for today are read as strictly."""
    for name in task.variants:
        try:
            settings_of(load_task(source, variant=name).head)
        except HeadError as error:
            raise HeadError(f"variant '{name}': {error}") from error
        except TaskError as error:
            raise TaskError(f"variant '{name}': {error}") from error
