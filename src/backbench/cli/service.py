"""`backbench service`: the tracking service of a lab."""

from pathlib import Path
from typing import Any

import click

PORT = click.IntRange(1, 65535)
STORE_PORT = click.IntRange(1, 55531)  # the store's parts use those up to 10,004 above it
FOLDER = click.Path(path_type=Path, file_okay=False)
folder = click.option(
    "--folder", type=FOLDER, default=Path(), show_default=True, help="Where docker-compose.yml is."
)
compose = click.option("--compose", is_flag=True, help="The service runs in containers.")


@click.group()
def service() -> None:
    """Set up, run, back up and restore PostgreSQL, the object store and MLflow."""


@service.command()
@folder
@click.option("--host", default="localhost", show_default=True, help="As other machines call it.")
@click.option("--b2", is_flag=True, help="Keep objects in Backblaze B2 or another S3.")
@click.option("--tracking-port", type=PORT, default=5000, show_default=True, help="Of MLflow.")
@click.option(
    "--store-port",
    type=STORE_PORT,
    default=8333,
    show_default=True,
    help="Of the store here; 4 follow.",
)
@click.option("--database-port", type=PORT, default=55432, show_default=True, help="Of PostgreSQL.")
def init(folder: Path, **chosen: Any) -> None:  # noqa: ANN401 - host, b2 and the ports
    """Write .env with random passwords; an existing one is never overwritten."""
    from backbench.pipeline.service import init as run

    click.echo(f"wrote {run(folder, **chosen)}")


@service.command()
@folder
@click.option("--data", type=FOLDER, help="Where the parts keep their files.")
def up(folder: Path, data: Path | None) -> None:
    """Run the service on this machine without Docker, until Ctrl-C."""
    from backbench.pipeline.service import up as run

    run(folder, data=data, say=click.echo)


@service.command()
@click.argument("target", type=FOLDER)
@folder
@compose
def backup(target: Path, folder: Path, compose: bool) -> None:
    """Copy database and bucket of the running service into the new folder TARGET."""
    from backbench.pipeline.service import backup as run

    click.echo(str(run(folder, target, compose=compose, say=click.echo)))


@service.command()
@click.argument("source", type=FOLDER)
@folder
@compose
def restore(source: Path, folder: Path, compose: bool) -> None:
    """Bring the backup SOURCE into the running, still empty service."""
    from backbench.pipeline.service import restore as run

    click.echo(str(run(folder, source, compose=compose, say=click.echo)))
