"""A champion as a function: pictures in, classes and probabilities out. Knows nothing of MLflow.

A champion is a folder::

    champion.json        task, classes, backbone by reference, head, units
    heads.safetensors    arrays of every unit under `<seed>/<fold>/<array>`, see `files.arrays`
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backbench.backbones import Backbone, device, load_backbone
from backbench.errors import BackboneError, HeadError, SampleError, StorageError
from backbench.features.forward import Forward, at_once
from backbench.files import atomic
from backbench.files.arrays import Arrays, pack, unpack
from backbench.files.s3_address import is_s3
from backbench.files.switches import SERVE_PATHS
from backbench.heads import predict as head_logits
from backbench.samples import decode

if TYPE_CHECKING:
    import torch

SPEC_FILE = "champion.json"
HEADS_FILE = "heads.safetensors"
_NO_PATHS = (
    "paths and s3:// keys are not read here: send the picture itself in base64, or start the "
    f"process that answers with {SERVE_PATHS}=1"
)

Heads = Mapping[tuple[int, int], Arrays]
"""Arrays of each unit, by (seed, fold)."""


@dataclass(frozen=True)
class Champion:
    """What is registered, but for the arrays.

    Attributes:
        task, task_version, variant: the question it answers.
        classes: in the order of the probabilities.
        backbone, checkpoint: by reference; never copied.
        identity_key: of the vector space, see `backbones.Identity.key`.
        weights: SHA-256 of the backbone's weights; other weights are refused.
        head: kind, see `heads.HEADS`.
        precision, min_side: how the features were computed and JPEGs decoded.
    """

    task: str
    task_version: int
    variant: str
    classes: tuple[str, ...]
    backbone: str
    checkpoint: str
    identity_key: str
    weights: str
    head: str
    precision: str = "fp32"
    min_side: int | None = None

    def write(self, folder: Path, heads: Heads) -> Path:
        """Write the folder of a champion.

        Raises:
            HeadError: no unit.
            StorageError: the folder cannot be written.
        """
        if not heads:
            raise HeadError("a champion needs at least one trained unit; evaluate it first.")
        units = {f"{seed}/{fold}": weights for (seed, fold), weights in heads.items()}
        atomic.write_bytes(folder / HEADS_FILE, pack(units))
        atomic.write_json(folder / SPEC_FILE, asdict(self))
        return folder

    @classmethod
    def read(cls, folder: Path) -> tuple["Champion", dict[tuple[int, int], dict[str, Any]]]:
        """The champion and its units' arrays.

        Raises:
            StorageError: the folder is not a champion's.
        """
        try:
            about = json.loads((folder / SPEC_FILE).read_text())
            champion = cls(**{**about, "classes": tuple(about["classes"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{folder} is not a champion's folder: {error}.") from error
        heads = {}
        for unit, weights in unpack(folder / HEADS_FILE).items():
            seed, fold = map(int, unit.split("/"))
            heads[seed, fold] = weights
        return champion, heads


class Predictor:
    """A champion ready to answer.

    Args:
        folder: of the champion.
        paths: pictures may also be named by a path or an `s3://` key, which are then read with the
            rights and credentials of this process. Only where who asks has those anyway.

    Raises:
        BackboneError: the backbone's weights here are not those it was trained on.
        WeightsMissingError: they are not here and cannot be fetched.
        StorageError: the folder is not a champion's.
    """

    def __init__(self, folder: Path, *, paths: bool = False) -> None:
        self._paths = paths
        self.champion, self.heads = Champion.read(folder)
        self.backbone = _backbone(self.champion)
        where, size = device(), self.backbone.batch_size
        self.forward = Forward(self.backbone.module, where, at_once(where, size))
        self.forward.prepare(self._blank())  # laid out as it was when features were computed
        self.forward.use(self.champion.precision)

    def _blank(self) -> "torch.Tensor":
        import torch

        return torch.zeros(1, 3, *self.backbone.input_size)

    def probabilities(
        self,
        pictures: Sequence[str | bytes],
        *,
        seed: int | None = None,
        fold: int | None = None,
    ) -> NDArray[np.float32]:
        """Mean over the units of each unit's probabilities, float32 `[N, C]`.

        Args:
            pictures: encoded pictures, as bytes or base64 text; with `paths` also paths and
                `s3://` keys.
            seed: only units of this seed.
            fold: only units of this fold.

        Raises:
            SampleError: something is not a picture; its place in the list is named.
            HeadError: there is no such unit.
        """
        units = self._units(seed, fold)
        if not len(pictures):
            return np.zeros((0, len(self.champion.classes)), np.float32)
        return self._mean(units, self.features(pictures))

    def probabilities_of_pixels(self, pixels: "torch.Tensor") -> NDArray[np.float32]:
        """The same of pictures that went through the backbone's transform, float32 `[N, C]`.

        Args:
            pixels: float32 `[N, 3, H, W]`.
        """
        return self._mean(self._units(None, None), self.forward(pixels))

    def _mean(self, units: Sequence[Arrays], features: NDArray[np.float32]) -> NDArray[np.float32]:
        each = [_softmax(head_logits(self.champion.head, w, features)) for w in units]
        mean: NDArray[np.float32] = np.mean(each, axis=0).astype(np.float32)
        return mean

    def features(self, pictures: Sequence[str | bytes]) -> NDArray[np.float32]:
        """Vectors of pictures, float32 `[N, D]`."""
        import torch

        size = self.backbone.batch_size
        parts = []
        for start in range(0, len(pictures), size):
            batch = enumerate(pictures[start : start + size], start)
            pixels = torch.stack([self._pixels(i, one) for i, one in batch])
            parts.append(self.forward(pixels))
        return np.concatenate(parts)

    def _pixels(self, index: int, picture: str | bytes) -> "torch.Tensor":
        try:
            image = decode(_content(picture, paths=self._paths), self.champion.min_side)
        except SampleError as error:
            raise SampleError(f"image {index}: {error}") from error
        return self.backbone.transform(image)

    def _units(self, seed: int | None, fold: int | None) -> list[dict[str, Any]]:
        chosen = [
            weights
            for (s, f), weights in self.heads.items()
            if seed in (None, s) and fold in (None, f)
        ]
        if not chosen:
            seeds = ", ".join(map(str, sorted({s for s, _ in self.heads})))
            last = max(f for _, f in self.heads)
            raise HeadError(
                f"this champion has no unit of seed {seed} and fold {fold}; "
                f"seeds are {seeds} and folds 0 to {last}. Leave both out to ask all of them."
            )
        return chosen


def _backbone(champion: Champion) -> Backbone:
    backbone = load_backbone(champion.backbone, champion.checkpoint)
    found = backbone.identity
    if found.weights != champion.weights:
        raise BackboneError(
            f"this champion was trained on {champion.backbone} ({champion.checkpoint}) with "
            f"weights {champion.weights[:16]}, but here they are {found.weights[:16]}. Put the "
            "former back, or evaluate and register again with the present ones."
        )
    if found.key != champion.identity_key:
        raise BackboneError(
            f"{champion.backbone} ({champion.checkpoint}) gives another vector here (space "
            f"{found.key}) than this champion was trained on ({champion.identity_key}): its "
            "preprocessing or pooling has changed. Evaluate and register again."
        )
    return backbone


def _content(picture: str | bytes, *, paths: bool) -> bytes:
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if not isinstance(picture, str):
        raise SampleError(f"{str(picture)[:80]} is no picture; send it in base64.")
    if paths and is_s3(picture):
        from backbench.files.bucket import fetch

        return fetch(picture).read_bytes()
    if paths and _is_file(picture):
        return Path(picture).read_bytes()
    try:
        return base64.b64decode(picture.partition("base64,")[2] or picture, validate=True)
    except (binascii.Error, ValueError) as error:
        other = "there is no such file here" if paths else _NO_PATHS
        raise SampleError(f"'{picture[:80]}' is no picture in base64, and {other}.") from error


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL: base64, or nothing
        return False


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    raised = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
