"""The `backbench` program: its commands, and what a user's mistake looks like."""

import os
import sys

import click

from backbench import __version__
from backbench.cli import chain, tools
from backbench.errors import BackbenchError

MISTAKE = 2
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backbench")
def backbench() -> None:
    """Which vision backbone, and which checkpoint of it, is best on my data?"""


for _command in (*chain.COMMANDS, *tools.COMMANDS):
    backbench.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit status 2."""
    # Threads of a network that wait for each other sleep, and leave the cores to who needs them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        status = backbench.main(arguments, prog_name="backbench", standalone_mode=False)
    except BackbenchError as error:
        _stop(str(error), MISTAKE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _stop("interrupted; run the same command again to go on from here.", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _stop(line: str, status: int) -> None:
    click.echo(f"error: {line}", err=True)
    sys.exit(status)
