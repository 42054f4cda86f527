"""One bar for people at a terminal, one line for logs, nothing at all under two seconds."""

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_SECONDS = 2.0


def told(console: Console | None, line: str) -> None:
    """A line for the person, on standard error where no console is given."""
    (console or Console(stderr=True)).print(line, highlight=False, markup=False, soft_wrap=True)


class Meter:
    """Counts finished samples."""

    def __init__(self, title: str, total: int, console: Console | None) -> None:
        self.done = 0
        self.total = total
        self._title = title
        self._console = console or Console(stderr=True)
        self._start = self._steady = monotonic()
        self._before = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self.seconds > QUIET_SECONDS:
            self.say(
                f"{self._title}: {self.done:,} of {self.total:,} in {self.seconds:.1f} s "
                f"({self.rate:,.1f}/s)"
            )

    @property
    def seconds(self) -> float:
        """Since the start."""
        return monotonic() - self._start

    @property
    def rate(self) -> float:
        """Samples a second since `restart`, or since the start where nothing came after it."""
        if self.done > self._before:
            return (self.done - self._before) / max(monotonic() - self._steady, 1e-9)
        return self.done / max(self.seconds, 1e-9)

    def restart(self) -> None:
        """The rate counts from here: trials on the first batch are over."""
        self._steady, self._before = monotonic(), self.done

    def advance(self, count: int) -> None:
        """More samples are finished."""
        self.done += count
        if self._bar is None and self._console.is_terminal and self.seconds > QUIET_SECONDS:
            self._bar = self._begin()
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self.done, rate=f"{self.rate:.1f}/s")

    def say(self, line: str) -> None:
        """A line for the person, above the bar."""
        told(self._console, line)

    def _begin(self) -> Progress:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        bar.add_task(self._title, total=self.total, rate="")
        bar.start()
        return bar
