"""What every library module hands back: a network with its weights in, and what it was made of."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backbench.backbones import checkpoints, untrained
from backbench.backbones.checkpoints import Weights
from backbench.backbones.table import Row, Vector
from backbench.backbones.transform import Transform
from backbench.errors import BackboneError
from backbench.files.s3_address import is_s3

if TYPE_CHECKING:
    import torch

UNTRAINED = "untrained"


@dataclass(frozen=True)
class Assembly:
    """A network ready to run, before it has a name.

    Attributes:
        module: [B, 3, H, W] float32 -> [B, D], weights loaded.
        weights: what was loaded, hashed for the identity; None where there is nothing to load.
        vector: what the module gives.
        transform: what it wants.
        config: 16 digits of the architecture's configuration.
        revision: the hub commit the files came from.
        evidence: files on disk whose change would make another identity.
        licence: of the weights, where the library knows it and the row does not.
    """

    module: "torch.nn.Module"
    weights: Weights | None
    vector: Vector
    transform: Transform
    config: str
    revision: str | None = None
    evidence: tuple[Path, ...] = field(default=())
    licence: str | None = None


class Library(Protocol):
    """What `from_timm`, `from_open_clip`, `from_transformers` and `pixels` offer."""

    def assemble(self, row: Row, wanted: "Wanted") -> Assembly:
        """The network of `row` with the weights of `wanted`."""

    def bring(self, row: Row, wanted: "Wanted") -> None:
        """Have every published file here that `assemble` reads; builds nothing."""


@dataclass(frozen=True)
class Wanted:
    """Which weights: the published ones, random ones, or those of a file.

    Attributes:
        checkpoint: as typed.
        path: the local file of a checkpoint that is one.
    """

    checkpoint: str = "default"
    path: Path | None = None

    @property
    def is_published(self) -> bool:
        """Whether the library's own weights are asked for."""
        return not self.path and self.checkpoint != UNTRAINED

    def weights(self, network: "torch.nn.Module", published: Callable[[], Weights]) -> Weights:
        """The tensors asked for, finite.

        Raises:
            BackboneError: the file is not one, or holds NaN.
        """
        if self.checkpoint == UNTRAINED:
            return untrained.weights_for(network)
        weights = checkpoints.read(self.path) if self.path else published()
        checkpoints.check_finite(weights)
        return weights

    def evidence(self, files: list[Path]) -> tuple[Path, ...]:
        """`files` and the checkpoint file."""
        return tuple(files + ([self.path] if self.path else []))


def wanted(checkpoint: str) -> Wanted:
    """Read the option `checkpoint`: `default`, `untrained`, a local file or an `s3://` key.

    Raises:
        BackboneError: it is none of them.
        StorageError: the bucket does not give the object.
    """
    if checkpoint in ("default", UNTRAINED):
        return Wanted(checkpoint)
    if is_s3(checkpoint):
        from backbench.files.bucket import fetch

        return Wanted(checkpoint, fetch(checkpoint))
    path = Path(checkpoint).expanduser()
    if path.suffix in checkpoints.SUFFIXES:
        return Wanted(checkpoint, path.resolve())
    raise BackboneError(
        f"unknown checkpoint '{checkpoint}'. Allowed: default, {UNTRAINED}, a file ending in "
        f"{', '.join(checkpoints.SUFFIXES)}, or an s3:// key of one."
    )


def repooled(vector: Vector, tokens: str, pooling: str) -> Vector:
    """`vector` with the pooling that the network itself declares."""
    return replace(vector, tokens=tokens, pooling=pooling)
