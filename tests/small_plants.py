"""Generated plants, 8 accessions of 6, as a folder of tables."""

from pathlib import Path

from backbench.pipeline.make_data import make_data
from backbench.samples.made_plants import WIDTHS, Wish

PLANTS, ACCESSIONS = 48, 8
BACKBONES = ("clip", "dinov2", "bioclip")
EXPECT = f"expect.samples={PLANTS};expect.groups={ACCESSIONS};expect.pictures=2114"


def small_plants(folder: Path, *, signal: float = 0.9, backbones=None, pictures=False) -> Path:
    """Write `folder/plants` with nested features of the backbones; returns the folder."""
    wish = Wish(PLANTS, dict.fromkeys(WIDTHS, signal), seed=1)
    wanted = dict.fromkeys(BACKBONES, signal) if backbones is None else backbones
    out = folder / "plants"
    return make_data("faba", wish=wish, backbones=wanted, out=out, pictures=pictures)
