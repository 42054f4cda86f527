"""open_clip's networks: the image tower alone, with the config's own preprocessing.

The tower is built without the text side, which would double the memory and, for some models,
download a text encoder nobody asked for.
"""

import json
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import open_clip
import torch
from open_clip.model import _build_vision_tower
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from backbench.backbones import checkpoints
from backbench.backbones.assembly import UNTRAINED, Assembly, Wanted, repooled
from backbench.backbones.checkpoints import Weights
from backbench.backbones.hub import Repository
from backbench.backbones.identity import config_digest
from backbench.backbones.table import VECTORS, Row, Vector
from backbench.backbones.transform import Transform
from backbench.errors import BackboneError, unknown

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TEXT_SIDE = (
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
    "attn_mask",
    "text.",
    "text_decoder.",
    "logit_scale",
    "logit_bias",
)
"""What a checkpoint of a whole CLIP or CoCa has besides its image tower."""
_TOWER = "visual."


@dataclass(frozen=True)
class _Source:
    """Where a model's architecture, preprocessing and weights come from."""

    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    repository: Repository
    files: tuple[str, ...]


def assemble(row: Row, wanted: Wanted) -> Assembly:
    """The image tower of `row` with the weights of `wanted`."""
    source = _source(row)
    tower = _tower(source.model)
    weights = wanted.weights(tower, lambda: _published(source, row))
    if wanted.checkpoint != UNTRAINED:
        weights = _image_side(weights)
    checkpoints.fill(tower, weights, f"the image tower of {row.model}")
    if row.vector == "cls_after_ln_post":
        _stop_at_ln_post(tower, row)
    return Assembly(
        module=tower,
        weights=weights,
        vector=_declared(VECTORS[row.vector], tower),
        transform=transform_of(source.preprocess, tower.image_size),
        config=config_digest(
            {key: source.model.get(key) for key in ("embed_dim", "vision_cfg", "quick_gelu")}
        ),
        revision=source.repository.commit,
        evidence=wanted.evidence(source.repository.evidence()),
    )


def bring(row: Row, wanted: Wanted) -> None:
    """Have the config here, and the published weights where they are wanted."""
    source = _source(row)
    if wanted.is_published:
        source.repository.file(*source.files)


def transform_of(preprocess: Mapping[str, Any], image_size: object) -> Transform:
    """What open_clip makes for evaluation (`image_transform_v2`) as fields."""
    height, width = _pair(image_size)
    resize = preprocess["resize_mode"]
    bilinear = preprocess["interpolation"] == "bilinear"
    if resize == "shortest" and height != width:
        bilinear = False  # open_clip passes no interpolation on in this one case
    fill = preprocess["fill_color"]
    return Transform(
        size=(height, width),
        resize=resize,
        edge=(height, width),
        interpolation="bilinear" if bilinear else "bicubic",
        mean=_triple(preprocess["mean"]),
        std=_triple(preprocess["std"]),
        fill=(fill, fill, fill) if resize == "longest" else (0, 0, 0),
    )


def _source(row: Row) -> _Source:
    return _of_tag(row) if row.pretrained else _of_hub(row)


def _of_hub(row: Row) -> _Source:
    repository = Repository(row.model, row.revision, row.name)
    config = json.loads(repository.file(CONFIG_FILE).read_text())
    if "model_cfg" not in config:
        raise BackboneError(f"{CONFIG_FILE} of {row.model} has no 'model_cfg'; it is not a CLIP.")
    preprocess = merge_preprocess_dict(asdict(PreprocessCfg()), config.get("preprocess_cfg", {}))
    return _Source(config["model_cfg"], preprocess, repository, WEIGHT_FILES)


def _of_tag(row: Row) -> _Source:
    arch, tag = row.model.replace("/", "-"), row.pretrained or ""
    model = open_clip.get_model_config(arch)
    if model is None:
        near = get_close_matches(arch, open_clip.list_models(), n=3)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise BackboneError(f"open_clip has no architecture '{arch}'.{hint}")
    published = get_pretrained_cfg(arch, tag)
    if not published:
        tags = list_pretrained_tags_by_model(arch)
        raise BackboneError(unknown(f"pretrained weights of open_clip's {arch}", tag, tags))
    if not published.get("hf_hub"):
        raise BackboneError(
            f"open_clip publishes '{tag}' of {arch} outside the hub, at {published.get('url')}. "
            "Give another tag, or open_clip:hf-hub:<repository>; checkpoint=<file> takes a local "
            "state dict."
        )
    # The tag knows how its weights were trained; open_clip itself only warns where the two differ.
    model = {**model, "quick_gelu": published.get("quick_gelu", model.get("quick_gelu", False))}
    repo, file = os.path.split(published["hf_hub"])
    preprocess = merge_preprocess_dict(asdict(PreprocessCfg()), published)
    return _Source(model, preprocess, Repository(repo, None, row.name), _alternatives(file))


def _alternatives(file: str) -> tuple[str, ...]:
    if not file:
        return WEIGHT_FILES
    stem, dot, suffix = file.rpartition(".")
    return (f"{stem}.safetensors", file) if dot and suffix in ("bin", "pth") else (file,)


def _tower(model: Mapping[str, Any]) -> torch.nn.Module:
    vision = deepcopy(model["vision_cfg"])
    vision["timm_model_pretrained"] = False
    quick = bool(model.get("quick_gelu", False))
    tower: torch.nn.Module = _build_vision_tower(model["embed_dim"], vision, quick_gelu=quick)
    return tower


def _published(source: _Source, row: Row) -> Weights:
    name = source.repository.file(*source.files)
    if name.suffix not in checkpoints.SUFFIXES:
        raise BackboneError(
            f"the weights of '{row.name}' are published as {name.name}, which is not a state dict."
            f" Convert it to one of {', '.join(checkpoints.SUFFIXES)} and give checkpoint=."
        )
    return checkpoints.read(name)


def _image_side(weights: Weights) -> Weights:
    kept = weights.without(TEXT_SIDE, "text side, which image vectors do not use")
    state = {name.removeprefix(_TOWER): tensor for name, tensor in kept.state.items()}
    return Weights(state, kept.source, kept.steps)


def _stop_at_ln_post(tower: torch.nn.Module, row: Row) -> None:
    """Without a projection the tower returns the pooled token after `ln_post`."""
    if not isinstance(tower, open_clip.transformer.VisionTransformer) or tower.attn_pool:
        raise BackboneError(f"'{row.name}' has no class token after ln_post; its vector is wrong.")
    tower.proj = None


def _declared(vector: Vector, tower: torch.nn.Module) -> Vector:
    """`vector` with the tower's own pooling, where the tower says it."""
    kind = getattr(tower, "pool_type", "none")
    tokens, pooling = {"tok": ("cls", "cls"), "avg": ("patches", "mean")}.get(
        kind, (vector.tokens, vector.pooling)
    )
    return repooled(vector, tokens, pooling)


def _pair(size: Any) -> tuple[int, int]:  # noqa: ANN401 - int or pair
    return (int(size[0]), int(size[1])) if isinstance(size, (tuple, list)) else (size, size)


def _triple(value: Any) -> tuple[float, float, float]:  # noqa: ANN401 - number or triple
    first, second, third = value if isinstance(value, (tuple, list)) else (value,) * 3
    return float(first), float(second), float(third)
