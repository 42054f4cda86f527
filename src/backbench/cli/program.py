"""The `backbench` program: its commands, and what a mistake or a signal looks like to its user."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from backbench import __version__
from backbench.cli import chain, cluster, tools
from backbench.errors import BackbenchError

MISTAKE = 2
INTERRUPTED, TERMINATED = 130, 143  # 128 + the signal's number, as shells tell it
_GO_ON = "run the same command again to go on from here."


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a cluster sends before it takes the machine back: everywhere like Ctrl-C."""


class _Program(click.Group):
    """Commands; a run that `mlflow run` began does not stay RUNNING where one is stopped."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            from backbench.pipeline.mlflow_run import record_stop

            record_stop(stop)
            raise


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backbench")
def backbench() -> None:
    """Which vision backbone, and which checkpoint of it, is best on my data?"""


for _command in (*chain.COMMANDS, *cluster.COMMANDS, *tools.COMMANDS):
    backbench.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit status 2."""
    # Threads of a network that wait for each other sleep, and leave the cores to who needs them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _unwound_by_sigterm():
            status = backbench.main(arguments, prog_name="backbench", standalone_mode=False)
    except BackbenchError as error:
        _stop(str(error), MISTAKE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _stop(_one_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        terminated = isinstance(stop.__cause__, Terminated)  # of click's Abort
        word, number = (
            ("ended by SIGTERM", TERMINATED) if terminated else ("interrupted", INTERRUPTED)
        )
        _stop(f"{word}; {_GO_ON}", number)
    sys.exit(status if isinstance(status, int) else 0)


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Raise Terminated in the block on the first SIGTERM; later ones let the ending go on."""

    def handle(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated("SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:  # else the process is about to end
            signal.signal(signal.SIGTERM, before)


def _one_line(error: click.ClickException) -> str:
    """What click says of an option, and where all of them are."""
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return f"{text} See {context.command_path} --help." if context else text


def _stop(line: str, status: int) -> NoReturn:
    click.echo(f"error: {line}", err=True)
    sys.exit(status)
