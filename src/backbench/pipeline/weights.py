"""The weights of backbones: what the table offers, and fetching them ahead of time."""

from rich.table import Table

from backbench.backbones import BACKBONES
from backbench.backbones import prefetch as fetch
from backbench.pipeline.console import console, say


def prefetch(backbone: str, checkpoint: str) -> None:
    """Fetch the weights, or say that they are there.

    Raises:
        WeightsMissingError: they cannot be fetched.
    """
    for path in fetch(backbone, checkpoint):
        say(f"{backbone} {checkpoint}: {path}")


def print_table() -> None:
    """Print every row of the backbones table."""
    table = Table(title="Backbones", caption="Also timm:<name>, open_clip:<arch>/<tag>, hf:<id>.")
    for column in ("backbone", "model; vector, licence"):  # wider, names would break at 80 letters
        table.add_column(column, overflow="fold")
    for row in BACKBONES.values():
        table.add_row(row.name, f"{row.library}: {row.model}\n{row.vector}, {row.licence}")
    console.print(table)
