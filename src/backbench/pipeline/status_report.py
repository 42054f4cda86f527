"""What is there of a question, how its tasks fare, and what to run next."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backbench.errors import StorageError
from backbench.pipeline.question import Question
from backbench.pipeline.submit_folder import Asked, Submission
from backbench.pipeline.submit_pack import BOARD, EVALUATE, Item
from backbench.pipeline.submit_states import LIVE, TaskState, newest, task_states
from backbench.pipeline.submit_survey import Survey, survey
from backbench.runs import Run

DONE, SPOOLED = "done", "in the spool"
FAILED, MISSING = "failed", "missing"


@dataclass(frozen=True)
class Report:
    """One question.

    Attributes:
        submissions: newest first.
        there: what is there.
        states: of all their tasks, newest first.
    """

    submissions: Sequence[Submission]
    there: Survey
    states: Sequence[TaskState]

    @classmethod
    def of(cls, found: Sequence[Submission]) -> "Report":
        """Ask the store, the tracker and the scheduler, from the folder of the submissions.

        Raises:
            StorageError: that folder is gone.
            SchedulerError, TrackingError: one of them cannot be asked.
        """
        asked = found[0].plan.asked
        backbones = dict.fromkeys(b for each in reversed(found) for b in each.plan.asked.backbones)
        with _inside(asked.folder):
            question = Question.ask(
                asked.source, variant=asked.variant, head=asked.head, overrides=asked.overrides
            )
            # The tasks first: what ends between the two questions is then there, not lost.
            states = task_states(found)
            return cls(found, survey(question, tuple(backbones)), states)

    @property
    def asked(self) -> Asked:
        """By the newest submission."""
        return self.submissions[0].plan.asked

    @cached_property
    def kinds(self) -> dict[Item, str]:
        """How each thing that has to be there fares."""
        return {item: self._kind(item) for item in self.there.items}

    @property
    def is_whole(self) -> bool:
        """Whether everything is there, and on the tracker."""
        return set(self.kinds.values()) == {DONE}

    @cached_property
    def tasks(self) -> dict[Item, TaskState]:
        """The newest task that is to bring each thing."""
        return newest(self.states)

    @property
    def failed(self) -> list[TaskState]:
        """Tasks that failed to bring something which is still not there."""
        absent = [item for item, kind in self.kinds.items() if kind in (FAILED, MISSING)]
        tasks = {(t.submission.folder, t.name): t for i in absent if (t := self.tasks.get(i))}
        return list(tasks.values())

    @property
    def live(self) -> list[TaskState]:
        """Tasks that wait or run."""
        return [state for state in self.states if state.kind in LIVE]

    def next(self) -> Iterator[str]:
        """What to run next, as typed; nothing where all is done or tasks are under way."""
        if self.is_whole or self.live:
            return
        if not Path(self.asked.folder).samefile(Path.cwd()):
            yield f"cd {shlex.quote(self.asked.folder)}"
        if SPOOLED in self.kinds.values():
            yield "backbench sync"
        if set(self.kinds.values()) - {DONE, SPOOLED}:
            yield self._submit()

    def _kind(self, item: Item) -> str:
        """Done is what is there; for the rest, how the newest task that is to bring it fares."""
        held = self.there.has(item)
        if held:
            return SPOOLED if isinstance(held, Run) and held.source == "spool" else DONE
        task = self.tasks.get(item)
        if task is None:
            return MISSING
        return FAILED if task.kind == DONE else task.kind

    def _submit(self) -> str:
        """The command that submits what is missing, and only that."""
        plan, question = self.submissions[0].plan, self.there.question
        left = [item for item, kind in self.kinds.items() if kind not in (DONE, SPOOLED)]
        seeds = dict.fromkeys(s for each in self.submissions for s in each.plan.asked.seeds)
        # Once the seeds that were asked for are there, what is left needs the others.
        fewer = set(seeds) < set(question.task.seeds) and any(item.seed in seeds for item in left)
        options = {
            "backbones": ",".join(each.backbone for each in self.there.standings),
            "seeds": ",".join(map(str, seeds)) if fewer else "",
            "head": self.asked.head,
            "variant": self.asked.variant,
            "set": ";".join(self.asked.overrides),
        }
        words = [w for name, value in options.items() if value for w in (f"--{name}", value)]
        # What tasks without a tracker cannot do is done here.
        here = plan.offline and {item.step for item in left} <= {EVALUATE, BOARD}
        how = ("--local",) if here else plan.how
        return shlex.join(["backbench", "submit", self.asked.source, *words, *how])


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Paths of the task and of the tracking store may be relative to where it was submitted."""
    if not Path(folder).is_dir():
        raise StorageError(f"{folder}, where it was submitted, is gone; make it again.")
    with contextlib.chdir(folder):
        yield
