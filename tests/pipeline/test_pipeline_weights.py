"""The table of backbones as a person reads it."""

import pytest
from rich.console import Console

from backbench.backbones import BACKBONES
from backbench.pipeline import weights


def test_no_name_breaks_in_a_terminal_of_80_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, record=True)
    monkeypatch.setattr(weights, "console", console)
    weights.print_table()
    said = console.export_text()
    for row in BACKBONES.values():
        assert all(name in said for name in (row.name, row.model, row.vector, row.licence))
