"""Load a backbone, or only say which vector space it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from backbench.backbones import memory
from backbench.backbones.assembly import Assembly, Library, Wanted
from backbench.backbones.assembly import wanted as read_option
from backbench.backbones.checkpoints import check_file
from backbench.backbones.identity import Identity
from backbench.backbones.table import Row, find
from backbench.backbones.transform import Transform
from backbench.errors import BackboneError

if TYPE_CHECKING:
    import torch

_LIBRARIES: Mapping[str, str] = {
    "timm": "backbench.backbones.from_timm",
    "open_clip": "backbench.backbones.from_open_clip",
    "transformers": "backbench.backbones.from_transformers",
    "pixels": "backbench.backbones.pixels",
}


@dataclass(frozen=True)
class Backbone:
    """A backbone ready to run.

    Attributes:
        identity: its vector space.
        dim: D, the width of a vector.
        parameters: how many numbers were trained, in the part that is used.
        licence: of the weights.
        batch_size: pictures loaded together and, on a GPU, put through the network at once.
        input_size: height and width of a picture as the network gets it.
        transform: an RGB picture -> float32 [3, H, W]; picklable.
        module: float32 [B, 3, H, W] -> float32 [B, D], in eval mode, on the CPU, no gradients.
        loaded: what was done to the weights file: unwrapped, renamed, dropped.
    """

    identity: Identity
    dim: int
    parameters: int
    licence: str
    batch_size: int
    input_size: tuple[int, int]
    transform: Transform
    module: "torch.nn.Module"
    loaded: Mapping[str, Any] = field(default_factory=dict)


def load_backbone(name: str, checkpoint: str = "default") -> Backbone:
    """Build the network, load its weights strictly, and measure its vector.

    Args:
        name: a row of the table or an open form, see `table.find`.
        checkpoint: `default`, `untrained`, a local weights file or an `s3://` key of one.

    Raises:
        BackboneError: the name or checkpoint is unknown, or the weights do not fit.
        WeightsMissingError: the weights are not here and cannot be fetched.
    """
    return _loaded(find(name), _wanted(name, checkpoint))


def identify(name: str, checkpoint: str = "default") -> Identity:
    """The vector space of a backbone.

    The first time on a machine it loads the network; afterwards it is read from a small file, as
    long as the weight files' sizes and times and the libraries' versions are the same.

    Raises:
        BackboneError, WeightsMissingError: as `load_backbone`.
    """
    row, wanted = find(name), _wanted(name, checkpoint)
    return memory.recall(row, wanted) or _loaded(row, wanted).identity


def prefetch(name: str, checkpoint: str = "default") -> list[Path]:
    """Bring everything a backbone needs to this machine, check that it loads, and list the files.

    Raises:
        BackboneError, WeightsMissingError: as `load_backbone`.
    """
    row, wanted = find(name), _wanted(name, checkpoint)
    _loaded(row, wanted)
    return memory.evidence(row, wanted)


def bring(name: str, checkpoint: str = "default") -> None:
    """Have the files of a backbone on this machine, or say why not; no network is built.

    Raises:
        BackboneError: the name, the checkpoint or its file is not there.
        WeightsMissingError: the published files are not here and cannot be fetched.
    """
    row, wanted = find(name), _wanted(name, checkpoint)
    if memory.recall(row, wanted):
        return
    if wanted.path:
        check_file(wanted.path)
    _library(row).bring(row, wanted)


def _library(row: Row) -> Library:
    return cast("Library", import_module(_LIBRARIES[row.library]))


def _wanted(name: str, checkpoint: str) -> Wanted:
    if find(name).library == "pixels":
        return Wanted(checkpoint)
    return read_option(checkpoint)


def _loaded(row: Row, wanted: Wanted) -> Backbone:
    assembly = _library(row).assemble(row, wanted)
    module = assembly.module.float().eval().requires_grad_(requires_grad=False)
    known = memory.recall(row, wanted)
    identity = _identity(
        row,
        wanted.checkpoint,
        assembly,
        dim=_measured_width(module, assembly.transform.size, row.name),
        weights=known.weights if known else _digest(assembly),
    )
    memory.remember(row, wanted, identity, assembly.evidence)
    return Backbone(
        identity=identity,
        dim=identity.representation["dim"],
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        licence=row.licence or assembly.licence or "see the model card",
        batch_size=row.batch_size,
        input_size=assembly.transform.size,
        transform=assembly.transform,
        module=module,
        loaded=dict(assembly.weights.steps) if assembly.weights else {},
    )


def _digest(assembly: Assembly) -> str:
    from backbench.backbones.checkpoints import digest

    return digest(assembly.weights.state) if assembly.weights else "none"


def _identity(row: Row, checkpoint: str, assembly: "Assembly", dim: int, weights: str) -> Identity:
    vector = assembly.vector
    return Identity(
        backbone=row.name,
        checkpoint=checkpoint,
        weights=weights,
        representation={
            "library": row.library,
            "model": row.model,
            "revision": assembly.revision,
            "config": assembly.config,
            "tokens": vector.tokens,
            "layer": vector.layer,
            "pooling": vector.pooling,
            "projected": vector.projected,
            "normalised": vector.normalised,
            "dim": dim,
        },
        transform=assembly.transform.fields(),
    )


def _measured_width(module: "torch.nn.Module", size: tuple[int, int], name: str) -> int:
    """D, from one grey picture: never from the name."""
    import torch

    with torch.inference_mode():
        vectors = module(torch.full((1, 3, *size), 0.5))
    if vectors.ndim != 2 or not bool(vectors.isfinite().all()):
        raise BackboneError(
            f"backbone '{name}' gives {list(vectors.shape)} for one picture, or not finite numbers;"
            " one finite vector a picture is needed. Choose a pooling, or other weights."
        )
    return int(vectors.shape[1])
