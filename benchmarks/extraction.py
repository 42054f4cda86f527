"""Extraction against the bare forward pass, and against what a user would write instead.

    python benchmarks/run.py --only extraction [--small]

Every figure is a ratio of speeds (pictures a second, left over right) of two things timed in turn
in one process; the median over rounds is given. Both sides are timed from their first finished
batch to their last, everything between included (reading, decoding, writing): what comes before, a
process that starts or Backbench's trials on the first batch, is paid once however many pictures
there are. `_whole` has the ratio with all of that, at this number of pictures. The vectors of both
sides are compared too: the lowest cosine of a row stands beside each ratio.

- `bare forward`: the network alone on a batch that is in memory, as loaded, in the precision that
  extraction chose. `prepared forward`: the same after Backbench's own preparation, which shows
  what decoding and writing cost.
- `timm loop`: DataLoader with two workers, timm's transform, fp32, as in timm's documentation.
- `hf pipeline`: transformers' image-feature-extraction pipeline, batched.

The other sides run in Backbench's process, but without the heap that it keeps for a forward pass
(`features/heap.py`): they are as fast after one as before.

Speed does not depend on the values of weights, so the ViT-B/16 has random ones and no hub is asked.
"""

import io
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from own_home import own_home
from PIL import Image
from rich.console import Console
from rich.table import Table

from backbench.backbones import Backbone, Identity, Transform, device, load_backbone
from backbench.features import Extraction, Features, Options
from backbench.features.forward import Forward, lowest_cosine
from backbench.samples import FileSource, Samples

BATCH = 16
_DISTINCT = 16
QUIET = Console(file=io.StringIO())


@dataclass(frozen=True)
class Case:
    """A backbone over a set of photographs."""

    backbone: Backbone
    samples: Samples
    rounds: int

    @property
    def paths(self) -> list[str]:
        """Of the photographs."""
        return list(self.samples.frame["path"])


@dataclass(frozen=True)
class Side:
    """How fast one side of a comparison was, and the vectors it made.

    Attributes:
        rate: pictures a second from the first finished batch on.
        seconds: all of it.
        vectors: `[N, D]`; None where there are none to compare.
    """

    rate: float
    seconds: float
    vectors: NDArray[np.float32] | None


class Clock:
    """Seconds since the start, and pictures a second since the first batch."""

    def __init__(self) -> None:
        self.start = perf_counter()
        self.marks: list[float] = []

    def batch(self) -> None:
        """A batch is finished."""
        self.marks.append(perf_counter())

    def side(self, pictures: int, vectors: NDArray[np.float32] | None) -> Side:
        """What was seen."""
        later = pictures - BATCH
        rate = later / (self.marks[-1] - self.marks[0])
        return Side(rate, self.marks[-1] - self.start, vectors)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    key: str
    backbone: str
    against: str
    ratio: float
    whole: float
    cosine: float | None
    note: str


def measure(*, small: bool = False) -> dict[str, float]:
    """Ratios by name, and the lowest cosine of the vectors beside each as `<name>_cosine`.

    `small` shows that all of it works, at sizes that prove no speed.
    """
    rows = compare(small=small)
    Console().print(render(rows))
    cosines = {f"{row.key}_cosine": row.cosine for row in rows if row.cosine is not None}
    whole = {f"{row.key}_whole": row.whole for row in rows}
    return {row.key: row.ratio for row in rows} | whole | cosines


def compare(*, small: bool) -> list[Row]:
    """All comparisons."""
    with own_home() as folder:
        return _compare(folder, small=small)


def _compare(folder: Path, *, small: bool) -> list[Row]:
    count, large, rounds = (48, 32, 1) if small else (192, 128, 3)
    size = "tiny" if small else "base"
    photographs = make_photographs(folder / "photographs", count, (640, 480))
    scans = make_photographs(folder / "scans", large, (2560, 3476))
    vit, hugging = _timm_vit(size), _transformers_vit(size)
    lite = load_backbone("efficientnet_lite0")
    name = f"vit_{size}_16"
    rows = [
        *_against(
            Case(vit, photographs, rounds),
            name,
            {
                "extract_vs_bare_forward": ("bare forward", bare_forward),
                "extract_vs_prepared_forward": ("prepared forward", prepared_forward),
                "extract_vs_timm_loop": ("timm loop", timm_loop),
            },
        ),
        *_against(
            Case(hugging, photographs, rounds),
            name,
            {"extract_vs_hf_pipeline": ("hf pipeline", hf_pipeline)},
        ),
        *_against(
            Case(lite, photographs, rounds),
            "efficientnet_lite0",
            {
                "extract_vs_bare_forward_lite0": ("bare forward", bare_forward),
                "extract_vs_prepared_forward_lite0": ("prepared forward", prepared_forward),
                "extract_vs_timm_loop_lite0": ("timm loop", timm_loop),
            },
        ),
        *_against(
            Case(lite, scans, rounds),
            "efficientnet_lite0, 2560 x 3476",
            {"extract_vs_timm_loop_large_jpeg": ("timm loop", timm_loop)},
        ),
    ]
    return [*rows, _warm(Case(lite, photographs, rounds))]


Other = Callable[[Case, str], Side]


def _against(case: Case, name: str, others: dict[str, tuple[str, Other]]) -> list[Row]:
    """Extraction and the others in turn, `rounds` times."""
    ratios: dict[str, list[float]] = {key: [] for key in others}
    whole: dict[str, list[float]] = {key: [] for key in others}
    cosines: dict[str, float | None] = {}
    note = ""
    for turn in range(case.rounds):
        ours, features = extraction(case)
        precision = features.provenance["precision"]
        note = f"{precision}, {features.provenance['decoding'].split(':')[0]} decoding"
        for key, (_, run) in others.items():
            theirs = run(case, precision)
            ratios[key].append(ours.rate / theirs.rate)
            whole[key].append(theirs.seconds / ours.seconds)
            if turn == 0:
                cosines[key] = _lowest_cosine(ours, theirs)
    return [
        Row(
            key,
            name,
            against,
            statistics.median(ratios[key]),
            statistics.median(whole[key]),
            cosines[key],
            note,
        )
        for key, (against, _) in others.items()
    ]


def _lowest_cosine(ours: Side, theirs: Side) -> float | None:
    """Of a row; None where a side made no vectors."""
    if ours.vectors is None or theirs.vectors is None:
        return None
    return lowest_cosine(ours.vectors, theirs.vectors)


def extraction(case: Case) -> tuple[Side, Features]:
    """Backbench, into an empty home: rehearsal, trials, writing and consolidation included."""
    with tempfile.TemporaryDirectory() as home:
        features, seconds = _extract(case, home)
        rate = features.provenance["images_per_second"]
        return Side(rate, seconds, np.array(features.X)), features


def _extract(case: Case, home: str) -> tuple[Features, float]:
    os.environ["BACKBENCH_HOME"] = home
    fresh = Backbone(**(vars(case.backbone) | {"module": deepcopy(case.backbone.module)}))
    options = Options(batch_size=BATCH, console=QUIET)
    start = perf_counter()
    features = Extraction(case.samples, fresh.identity, lambda: fresh, options).run()
    return features, perf_counter() - start


def bare_forward(case: Case, precision: str) -> Side:
    """The network alone, as loaded."""
    module = deepcopy(case.backbone.module).to(device())
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module = module.to(dtype)
    batch = torch.rand(BATCH, 3, *case.backbone.input_size).to(device(), dtype)

    return _timed(lambda: module(batch), case)


def prepared_forward(case: Case, precision: str) -> Side:
    """The network alone, prepared as extraction prepares it."""
    forward = Forward(deepcopy(case.backbone.module), device(), BATCH)
    batch = torch.rand(BATCH, 3, *case.backbone.input_size)
    forward.rehearse(batch[:8])
    forward.use(precision)

    return _timed(lambda: forward(batch), case)


def _timed(run: Callable[[], object], case: Case) -> Side:
    clock = Clock()
    with torch.inference_mode():
        for _ in range(0, len(case.samples), BATCH):
            run()
            clock.batch()
    return clock.side(len(case.samples), None)


class Files(torch.utils.data.Dataset[Any]):
    """The data set of a plain loop: pictures by a transform, or paths where there is none."""

    def __init__(
        self, paths: Sequence[str], transform: Callable[[Image.Image], torch.Tensor] | None
    ) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor | str:
        path = self.paths[i]
        return self.transform(Image.open(path).convert("RGB")) if self.transform else path


def timm_loop(case: Case, precision: str) -> Side:
    """What a user of timm writes."""
    from timm.data import create_transform

    del precision
    fields = case.backbone.transform
    crop = fields.size[0] / fields.edge[0]
    transform = create_transform(
        (3, *fields.size),
        interpolation=fields.interpolation,
        crop_pct=crop,
        mean=fields.mean,
        std=fields.std,
    )
    module = deepcopy(case.backbone.module).eval().to(device())
    clock = Clock()
    files = Files(case.paths, transform)
    loader = torch.utils.data.DataLoader(files, batch_size=BATCH, num_workers=2)
    parts = []
    with torch.inference_mode():
        for batch in loader:
            parts.append(module(batch.to(device())).cpu().numpy())
            clock.batch()
    return clock.side(len(case.samples), np.concatenate(parts))


def hf_pipeline(case: Case, precision: str) -> Side:
    """What a user of transformers writes; the CLS token is taken from the output."""
    from transformers import ViTImageProcessor, pipeline

    del precision
    height, width = case.backbone.input_size
    processor = ViTImageProcessor(size={"height": height, "width": width}, resample=2)
    pipe = pipeline(
        "image-feature-extraction",
        model=deepcopy(case.backbone.module.model),
        image_processor=processor,
        device=device(),
    )
    clock = Clock()
    files = Files(case.paths, transform=None)
    outputs = pipe(files, batch_size=BATCH, num_workers=2, return_tensors=True)
    vectors = []
    for output in outputs:
        vectors.append(output[0, 0].float().cpu().numpy())
        if len(vectors) % BATCH == 0:
            clock.batch()
    return clock.side(len(case.samples), np.stack(vectors))


def _warm(case: Case) -> Row:
    """How much sooner a call ends that finds everything there."""
    with tempfile.TemporaryDirectory() as home:
        _, cold = _extract(case, home)
        _, warm = _extract(case, home)
    return Row(
        "extract_warm_vs_cold",
        "efficientnet_lite0",
        "cold call",
        cold / warm,
        cold / warm,
        None,
        f"{warm:.3f} s",
    )


def make_photographs(folder: Path, count: int, size: tuple[int, int]) -> Samples:
    """JPEGs of `size`, cut at random from the two photographs inside scikit-learn.

    Sixteen are made and the others linked to them, which changes no time but that of making them.
    """
    from sklearn.datasets import load_sample_images

    folder.mkdir()
    rng = np.random.default_rng(0)
    originals = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        if i >= _DISTINCT:
            path.hardlink_to(paths[i % _DISTINCT])
            continue
        original = originals[i % 2]
        scale = rng.uniform(0.6, 1.0)
        side = int(scale * original.height)
        wide = min(original.width, int(side * size[0] / size[1]))
        left = int(rng.integers(0, original.width - wide + 1))
        top = int(rng.integers(0, original.height - side + 1))
        part = original.crop((left, top, left + wide, top + side))
        part.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    names = [str(path) for path in paths]
    ids = [path.stem for path in paths]
    frame = pd.DataFrame({"sample_id": ids, "path": names, "group": ids, "split": ""})
    frame["label"] = [str(i % 2) for i in range(count)]
    return Samples(folder.name, frame, FileSource(names))


def _timm_vit(size: str) -> Backbone:
    import timm

    torch.manual_seed(0)
    module = timm.create_model(f"vit_{size}_patch16_224", pretrained=False, num_classes=0)
    transform = Transform(
        (224, 224), "shortest", (248, 248), "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
    return _untrained(f"timm_vit_{size}", module.eval(), transform, module.num_features)


class ClsToken(torch.nn.Module):
    """The CLS token of a transformers ViT."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.model(pixels).last_hidden_state
        return tokens[:, 0]


def _transformers_vit(size: str) -> Backbone:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    width = {"tiny": 192, "base": 768}[size]
    heads = width // 64
    config = ViTConfig(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width)
    module = ClsToken(ViTModel(config, add_pooling_layer=False)).eval()
    transform = Transform(
        (224, 224), "squash", (224, 224), "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
    return _untrained(f"hf_vit_{size}", module, transform, width)


def _untrained(name: str, module: torch.nn.Module, transform: Transform, dim: int) -> Backbone:
    module.requires_grad_(requires_grad=False)
    identity = Identity(name, "untrained", "random", {"dim": dim}, transform.fields())
    count = sum(each.numel() for each in module.parameters())
    return Backbone(identity, dim, count, "none", BATCH, transform.size, transform, module)


def render(rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    table = Table(title="Extraction: pictures a second, Backbench over the other")
    for name in ("backbone", "against", "ratio", "whole", "lowest cosine", "Backbench ran"):
        table.add_column(name)
    for row in rows:
        cosine = "" if row.cosine is None else f"{row.cosine:.5f}"
        table.add_row(
            row.backbone, row.against, f"{row.ratio:.2f}", f"{row.whole:.2f}", cosine, row.note
        )
    return table
