"""timm's networks: pooled features before the classifier, with timm's own evaluation transform."""

import math
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg

from backbench.backbones import checkpoints, efficientnet_lite0
from backbench.backbones.assembly import Assembly, Wanted, repooled
from backbench.backbones.checkpoints import Weights
from backbench.backbones.hub import Repository
from backbench.backbones.identity import config_digest
from backbench.backbones.table import VECTORS, Row
from backbench.backbones.transform import Transform
from backbench.errors import BackboneError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def assemble(row: Row, wanted: Wanted) -> Assembly:
    """The timm network of `row` without its classifier."""
    published = published_config(row.model)
    network = timm.create_model(row.model, pretrained=False, num_classes=0)
    repository = Repository(published.get("hf_hub_id") or "", row.revision, row.name)
    weights = wanted.weights(network, lambda: _published(row, published, repository))
    weights = _without_classifier(weights, published)
    weights_loaded = _fill(network, weights, row.model)
    return Assembly(
        module=network,
        weights=weights_loaded,
        vector=repooled(VECTORS[row.vector], *_pooling(network)),
        transform=transform_of(published),
        config=config_digest({"architecture": published["architecture"]}),
        revision=repository.commit,
        evidence=wanted.evidence(_evidence(row, repository)),
        licence=published.get("license"),
    )


def bring(row: Row, wanted: Wanted) -> None:
    """Have the published weights here, where they are wanted."""
    published = published_config(row.model)
    if wanted.is_published:
        _file(row, published, Repository(published.get("hf_hub_id") or "", row.revision, row.name))


def published_config(model: str) -> Mapping[str, Any]:
    """The configuration timm has for a name, with or without a tag.

    Raises:
        BackboneError: timm has no such architecture or tag.
    """
    try:
        config = get_pretrained_cfg(model) if timm.is_model(model) else None
    except RuntimeError:  # a known architecture with an unknown tag
        config = None
    if config is None:
        near = get_close_matches(model, timm.list_models(pretrained=True), n=3)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise BackboneError(f"timm has no model '{model}'.{hint} List them: timm.list_models().")
    return dict(config.to_dict())


def transform_of(config: Mapping[str, Any]) -> Transform:
    """What timm makes for evaluation (`timm.data.create_transform`, not training) as fields."""
    _, height, width = config["input_size"]
    crop_pct = config.get("crop_pct") or 0.875
    mode = config.get("crop_mode") or "center"
    edge = (math.floor(height / crop_pct), math.floor(width / crop_pct))
    red, green, blue = (round(255 * value) for value in config["mean"])
    return Transform(
        size=(height, width),
        resize={"squash": "squash", "border": "longest"}.get(mode, "shortest"),
        edge=edge,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=(red, green, blue) if mode == "border" else (0, 0, 0),
    )


def _published(row: Row, config: Mapping[str, Any], repository: Repository) -> Weights:
    weights = checkpoints.read(_file(row, config, repository))
    return efficientnet_lite0.translated(weights) if row.weights == "package" else weights


def _file(row: Row, config: Mapping[str, Any], repository: Repository) -> Path:
    """The published weights, from the package, the cache or the hub."""
    if row.weights == "package":
        return efficientnet_lite0.path()
    if not repository.repo:
        raise BackboneError(
            f"timm publishes no weights of '{row.model}' on the hub. Give a file with checkpoint=, "
            "or checkpoint=untrained."
        )
    name = config.get("hf_hub_filename")
    return repository.file(*((name,) if name else WEIGHT_FILES))


def _without_classifier(weights: Weights, config: Mapping[str, Any]) -> Weights:
    names = config.get("classifier") or ()
    heads = (names,) if isinstance(names, str) else tuple(names)
    return weights.without(
        [f"{head}." for head in heads], "classifier, which pooled features do not use"
    )


def _fill(network: torch.nn.Module, weights: Weights, model: str) -> Weights:
    """Strictly, by the file's own names or by timm's renaming of older files."""
    if weights.state.keys() != network.state_dict().keys():
        module = sys.modules[type(network).__module__]
        if rename := getattr(module, "checkpoint_filter_fn", None):
            renamed = rename(dict(weights.state), network)
            steps = {**weights.steps, "renamed": f"{module.__name__}.checkpoint_filter_fn"}
            if renamed.keys() == network.state_dict().keys():
                weights = Weights(renamed, weights.source, steps)
    checkpoints.fill(network, weights, f"timm's {model}")
    return weights


def _pooling(network: torch.nn.Module) -> tuple[str, str]:
    for part in (network, getattr(network, "head", None)):
        pool = getattr(part, "global_pool", None)
        kind = pool if isinstance(pool, str) else getattr(pool, "pool_type", None)
        if isinstance(kind, str) and kind:
            return ("cls", "cls") if kind == "token" else ("all", kind)
    return "all", "model's own"


def _evidence(row: Row, repository: Repository) -> list[Any]:
    if row.weights == "package":
        return [efficientnet_lite0.path()]
    return repository.evidence() if repository.repo else []
