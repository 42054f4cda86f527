"""What each transformers model type gives, and what its checkpoints carry besides: a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Kind:
    """How one model type gives vectors.

    Attributes:
        vector: what `hf:<model id>` gives without `?pool=`.
        drops: what its checkpoints carry that vectors do not use, by prefix.
        names: what the poolings of `?pool=` are called for this type in `VECTORS`.
        network: the class to build; empty for the one the config names.
        part: the part of the config it is built from.
    """

    vector: str
    drops: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    part: str = ""


_CLASSIFIERS = ("classifier.", "cls_classifier.", "distillation_classifier.")
_CLS = Kind("cls_after_norm", _CLASSIFIERS, {"cls": "cls_after_norm"})
_POOLER = Kind("pooler", _CLASSIFIERS)
_DUAL = Kind("image_features")
_CLIP = Kind(
    "image_embeds",
    ("text_model.", "text_projection.", "logit_scale", "vision_model.embeddings.position_ids"),
    {"cls": "cls_before_post_norm", "image_features": "image_embeds"},
    network="CLIPVisionModelWithProjection",
    part="vision_config",
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "clip": _CLIP,
        "dinov2": _CLS,
        "dinov2_with_registers": _CLS,
        "dinov3_vit": _CLS,
        "vit": _CLS,
        "deit": _CLS,
        "vit_msn": _CLS,
        "siglip": _DUAL,
        "siglip2": _DUAL,
        "chinese_clip": _DUAL,
        "align": _DUAL,
        "convnext": _POOLER,
        "convnextv2": _POOLER,
        "dinov3_convnext": _POOLER,
        "resnet": _POOLER,
        "regnet": _POOLER,
        "swin": _POOLER,
        "swinv2": _POOLER,
    }
)
"""Model types whose vector is declared; any other needs `?pool=`."""
