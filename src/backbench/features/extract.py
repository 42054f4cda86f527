"""Extraction: only what is new or changed, at the speed of the network, safe against kills."""

from typing import TYPE_CHECKING

from backbench.backbones import Backbone, identify, load_backbone
from backbench.errors import FeatureError
from backbench.features.extraction import Extraction
from backbench.features.features import Features
from backbench.features.options import Options, Remote
from backbench.samples import Samples

if TYPE_CHECKING:
    from rich.console import Console


def extract(
    samples: Samples,
    backbone: str,
    checkpoint: str = "default",
    *,
    precision: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    dtype: str = "float32",
    max_error_fraction: float = 0.0,
    verify: bool = False,
    remote: Remote | None = None,
    console: "Console | None" = None,
) -> Features:
    """Features of all samples; only those that are new or changed are computed.

    Args:
        samples: what to extract from.
        backbone: a row of the table, or an open form such as `timm:resnet18`.
        checkpoint: a published default, a file, an s3:// key.
        precision: `fp32` is the reference: no short cut is taken, and rows that were computed with
            one are computed again; `auto` takes bf16 where it is faster, and JPEGs at a reduced
            scale, where every row of the first batch has cosine >= 0.999 with the reference;
            `bf16` takes it also when not faster.
        batch_size: pictures a forward pass (default: the backbone's, on a CPU 8 of them at once);
            halved when memory runs out.
        workers: processes that decode (default: by the number of cores).
        dtype: of the stored features, `float32` or `float16`.
        max_error_fraction: share of the samples that may be unreadable.
        verify: hash all files again instead of trusting size and modification time.
        remote: feature files of other runs in the same vector space, see `options.Remote`; one
            that cannot be had or read is told in a line and done without.
        console: where progress goes (default: standard error).

    Raises:
        FeatureError: an unknown option, a damaged file, NaN features, or too many unreadable
            samples (`UnreadableSamplesError`, which carries the list).
        StorageError: the disk is full; what was computed before is kept.
        BackboneError, WeightsMissingError: from loading.
    """
    options = Options(
        precision, batch_size, workers, dtype, max_error_fraction, verify, remote, console
    )
    identity = identify(backbone, checkpoint)

    def load() -> Backbone:
        return load_backbone(backbone, checkpoint)

    return Extraction(samples, identity, load, options).run()


def stored(
    samples: Samples,
    backbone: str,
    checkpoint: str = "default",
    *,
    max_error_fraction: float = 0.0,
    remote: Remote | None = None,
    console: "Console | None" = None,
) -> Features | None:
    """The features of all samples if nothing has to be computed, else None; no network is run.

    Raises:
        As `extract`.
    """
    options = Options(max_error_fraction=max_error_fraction, remote=remote, console=console)

    def refuse() -> Backbone:
        raise _NotStoredError

    try:
        return Extraction(samples, identify(backbone, checkpoint), refuse, options).run()
    except _NotStoredError:
        return None


class _NotStoredError(FeatureError):
    """Something has to be computed."""
