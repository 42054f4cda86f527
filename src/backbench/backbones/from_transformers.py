"""transformers' networks: Dinov2, CLIP's image side, and `hf:<model id>` for the rest.

The library renames tensors between its versions, so weights go in through its own loader and its
report of missing and unexpected names is read as an error.
"""

import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from backbench.backbones import checkpoints, processors, untrained
from backbench.backbones.assembly import UNTRAINED, Assembly, Wanted
from backbench.backbones.checkpoints import Weights
from backbench.backbones.hub import Repository, cache_folder, offline
from backbench.backbones.identity import config_digest
from backbench.backbones.kinds import KINDS, Kind
from backbench.backbones.table import POOLINGS, VECTORS, Row
from backbench.errors import BackboneError

CONSENT = "BACKBENCH_ALLOW_REMOTE_CODE"
"""Environment variable that names the `model@commit`s whose own code may run."""
CONFIG_FILE = "config.json"
_CODE = ("AutoConfig", "AutoModel")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
SHARD_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_UNNAMED = frozenset(
    {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}
)
"""Fields of a config that move no vector."""


class Vectors(torch.nn.Module):
    """[B, 3, H, W] -> [B, D] out of a transformers model.

    Args:
        network: the model.
        vector: a key of `table.VECTORS`.
    """

    def __init__(self, network: torch.nn.Module, vector: str) -> None:
        super().__init__()
        self.network = network
        self.vector = vector

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """One vector a picture."""
        if self.vector == "image_features":
            return _image_features(self.network, pictures)
        output = self.network(pixel_values=pictures)
        if self.vector == "image_embeds":
            embeds: torch.Tensor = output.image_embeds
            return embeds
        field = "pooler_output" if self.vector == "pooler" else "last_hidden_state"
        hidden: torch.Tensor | None = getattr(output, field, None)
        if hidden is None:
            raise BackboneError(
                f"{type(self.network).__name__} has no {field}. Choose another ?pool= of "
                f"{', '.join(POOLINGS)}."
            )
        if self.vector == "pooler":
            return hidden.flatten(1)
        if self.vector == "mean":
            return hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
        return hidden[:, 0]


@dataclass(frozen=True)
class _Plan:
    """What will be built, before any weights are read."""

    row: Row
    repository: Repository
    plain: Mapping[str, Any]
    config: Any
    network_class: Any

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.plain.get("model_type", ""), Kind(""))

    @property
    def vector(self) -> str:
        """A key of `VECTORS`: what the row or `?pool=` says, else what the model type declares."""
        vector = self.kind.names.get(self.row.vector, self.row.vector) or self.kind.vector
        if not vector:
            raise BackboneError(
                f"no vector is declared for '{self.row.name}' (model type "
                f"'{self.plain.get('model_type')}'). Say which: hf:{self.row.model}?pool= with "
                f"one of {', '.join(POOLINGS)}."
            )
        return vector


def assemble(row: Row, wanted: Wanted) -> Assembly:
    """The network of `row` with the weights of `wanted`."""
    with _quiet():
        plan = _planned(row)
        vector, repository = plan.vector, plan.repository
        network, weights = _loaded(plan, wanted)
        processor = repository.file(*processors.FILES)
        transform = processors.transform_of(processor.parent, row.name)
    return Assembly(
        module=Vectors(network, vector),
        weights=weights,
        vector=VECTORS[vector],
        transform=transform,
        config=config_digest(plan.plain, _UNNAMED),
        revision=repository.commit,
        evidence=wanted.evidence(repository.evidence()),
    )


def bring(row: Row, wanted: Wanted) -> None:
    """Have config and processor here, and the published weights where they are wanted."""
    repository = Repository(row.model, row.revision, row.name)
    repository.file(CONFIG_FILE)
    if wanted.is_published:
        path = repository.file(*WEIGHT_FILES, *SHARD_FILES)
        for shard in checkpoints.shard_names(path) if path.name in SHARD_FILES else ():
            repository.file(shard)
    repository.file(*processors.FILES)


def _planned(row: Row) -> _Plan:
    repository = Repository(row.model, row.revision, row.name)
    path = repository.file(CONFIG_FILE)
    plain = json.loads(path.read_text())
    model_type = plain.get("model_type", "")
    if model_type not in transformers.CONFIG_MAPPING:
        return _Plan(row, repository, plain, *_remote(row, plain))
    config = transformers.AutoConfig.from_pretrained(str(path.parent))
    kind = KINDS.get(model_type)
    if kind and kind.network:
        part = getattr(config, kind.part)
        # The whole model projects to its own width, whatever the part says.
        part.projection_dim = config.projection_dim
        return _Plan(row, repository, plain, part, getattr(transformers, kind.network))
    try:
        return _Plan(row, repository, plain, config, transformers.MODEL_MAPPING[type(config)])
    except KeyError as error:
        raise BackboneError(f"'{row.name}' is a {model_type}, which gives no vectors.") from error


def _remote(row: Row, plain: Mapping[str, Any]) -> tuple[Any, Any]:
    """A model whose code lives in its repository: only a pinned commit, only when allowed."""
    names = plain.get("auto_map", {})
    if not names.get("AutoModel"):
        raise BackboneError(
            f"'{row.name}' has model type '{plain.get('model_type')}', which transformers "
            f"{transformers.__version__} does not know. Install a newer transformers."
        )
    foreign = [name for part in _CODE if "--" in (name := str(names.get(part, "")))]
    if foreign:
        raise BackboneError(
            f"'{row.name}' takes its code from another repository ('{foreign[0]}'), at whatever "
            "commit that is now. Copy that code into a repository beside the weights, and pin the "
            "commit of that one."
        )
    pinned = _COMMIT.fullmatch(row.revision or "") is not None
    if not pinned or f"{row.model}@{row.revision}" not in _consents():
        raise BackboneError(
            f"'{row.name}' runs Python code of its repository. Read that code, pin its commit (40 "
            f"digits) as hf:{row.model}@<commit>, and set {CONSENT}={row.model}@<commit>."
        )
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    where = {
        "revision": row.revision,
        "code_revision": row.revision,
        "cache_dir": str(cache_folder()),
        "local_files_only": offline(),
    }
    config = transformers.AutoConfig.from_pretrained(row.model, trust_remote_code=True, **where)
    return config, get_class_from_dynamic_module(names["AutoModel"], row.model, **where)


def _consents() -> set[str]:
    """The `model@commit`s whose code may run."""
    return {name.strip() for name in os.environ.get(CONSENT, "").split(",")}


def _loaded(plan: _Plan, wanted: Wanted) -> tuple[torch.nn.Module, Weights]:
    options, drops = _without_pooler(plan)
    if wanted.checkpoint == UNTRAINED:
        network: torch.nn.Module = plan.network_class(plan.config, **options)
        weights = untrained.weights_for(network)
        checkpoints.fill(network, weights, plan.row.model)
        return network, weights
    weights = wanted.weights(torch.nn.Identity(), lambda: _published(plan.repository))
    weights = weights.without(drops, "not used by image vectors")
    network, report = plan.network_class.from_pretrained(
        None,
        config=plan.config,
        state_dict=dict(weights.state),
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report, which is read as an error
        **options,
    )
    if error := checkpoints.misfit(
        weights.source,
        plan.row.model,
        missing=report["missing_keys"],
        unexpected=report["unexpected_keys"],
        reshaped=[str(entry[0]) for entry in report["mismatched_keys"]],
    ):
        raise error
    return network, weights


def _without_pooler(plan: _Plan) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A pooler that the vector does not use is not built, as many checkpoints have none."""
    takes = "add_pooling_layer" in inspect.signature(plan.network_class.__init__).parameters
    if plan.vector in ("pooler", "image_features", "image_embeds") or not takes:
        return {}, plan.kind.drops
    return {"add_pooling_layer": False}, (*plan.kind.drops, "pooler.")


def _published(repository: Repository) -> Weights:
    # A sharded repository has the index and no single file: ask for what is there first.
    path = repository.file(*WEIGHT_FILES, *SHARD_FILES)
    if path.name in SHARD_FILES:
        return checkpoints.read_sharded(path, repository.file)
    return checkpoints.read(path)


def _image_features(network: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    get: Any = getattr(network, "get_image_features", None)
    if get is None:
        raise BackboneError(
            f"{type(network).__name__} has no get_image_features. Choose another ?pool= of "
            f"{', '.join(POOLINGS)}."
        )
    features = get(pixel_values=pictures)
    # transformers 5 wraps what 4 returned bare.
    vectors: torch.Tensor = getattr(features, "pooler_output", features)
    return vectors


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and load reports: what matters becomes an error."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
