"""Small stand-ins: a network that counts, sources in memory and in files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from backbench.backbones import Backbone, Identity, Transform
from backbench.features import Extraction, Features, Options
from backbench.samples import ArraySource, FileSource, Samples

SIZE = 16
DIM = 12


class Averages(torch.nn.Module):
    """A network of one layer over 4 x 4 averages; counts pictures and may fail on purpose."""

    def __init__(self, largest: int | None = None, poison: float | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(48, DIM, generator=generator))
        self.pool = torch.nn.AdaptiveAvgPool2d(4)
        self.pictures = 0
        self.batches: list[int] = []
        self.largest, self.poison = largest, poison

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.largest is not None and len(pixels) > self.largest:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried too much")
        self.pictures += len(pixels)
        self.batches.append(len(pixels))
        result = self.pool(pixels).flatten(1) @ self.weight
        if self.poison is not None:
            result[pixels.mean((1, 2, 3)) > self.poison] = torch.nan
        return result


TRANSFORM = Transform(
    size=(SIZE, SIZE),
    resize="squash",
    edge=(SIZE, SIZE),
    interpolation="bilinear",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


def identity_of(name: str = "averages", weights: str = "ab" * 32) -> Identity:
    """A vector space."""
    return Identity(name, "default", weights, {"library": "fake", "dim": DIM}, TRANSFORM.fields())


@dataclass
class Bench:
    """Extraction with a network that counts how often it was loaded and what it saw."""

    module: torch.nn.Module = field(default_factory=Averages)
    identity: Identity = field(default_factory=identity_of)
    batch_size: int = 4
    loaded: dict[str, object] = field(default_factory=dict)
    loads: int = 0

    def load(self) -> Backbone:
        self.loads += 1
        return Backbone(
            identity=self.identity,
            dim=DIM,
            parameters=48 * DIM,
            licence="MIT",
            batch_size=self.batch_size,
            input_size=(SIZE, SIZE),
            transform=TRANSFORM,
            module=self.module,
            loaded=self.loaded,
        )

    def extract(self, samples: Samples, **options: object) -> Features:
        chosen = Options(**({"workers": 0} | options))  # type: ignore[arg-type]
        return Extraction(samples, self.identity, self.load, chosen).run()


def table(ids: list[str], paths: list[str] | None = None) -> pd.DataFrame:
    """A sample table with two classes."""
    labels = [str(i % 2) for i in range(len(ids))]
    return pd.DataFrame(
        {"sample_id": ids, "label": labels, "group": ids, "split": "", "path": paths or ids}
    )


def in_memory(count: int = 10, seed: int = 0) -> Samples:
    """Grey pictures in memory."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    return Samples("memory", table([f"s{i:03d}" for i in range(count)]), ArraySource(pixels))


def rows_of(samples: Samples, rows: list[int]) -> Samples:
    """Some samples, in this order."""
    return samples.subset(np.array(rows, np.int64))


def picture_files(folder: Path, count: int) -> Samples:
    """PNG files."""
    rng = np.random.default_rng(count)
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    names = [str(path) for path in paths]
    return Samples("files", table([f"p{i:03d}" for i in range(count)], names), FileSource(names))
