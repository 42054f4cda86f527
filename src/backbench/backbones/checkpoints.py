"""Weight files: read without running code, unwrapped by a written table, loaded strictly.

Nothing here ever goes on with a part of the weights: a network with half its weights random still
gives vectors, and they look like a bad backbone.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbench.errors import BackboneError, some

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
CONTAINERS = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the weights inside a checkpoint file; the first one there is used."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every name."""


@dataclass(frozen=True)
class Weights:
    """Tensors by published name, and what was done to the file to get them.

    Attributes:
        state: name -> tensor, on the CPU, as stored.
        source: the file, for messages.
        steps: what was unwrapped, renamed or dropped, for the provenance of the features.
    """

    state: "State"
    source: str
    steps: Mapping[str, Any] = field(default_factory=dict)

    def without(self, drops: Iterable[str], why: str) -> "Weights":
        """Leave out the tensors whose name is, or starts with, one of `drops`; keep a record.

        The record says how many tensors went for each of `drops`.
        """
        counts = {drop: sum(name.startswith(drop) for name in self.state) for drop in drops}
        gone = {drop: count for drop, count in counts.items() if count}
        if not gone:
            return self
        kept = {n: tensor for n, tensor in self.state.items() if not n.startswith(tuple(gone))}
        record = {"dropped": gone, "dropped_because": why}
        return Weights(kept, self.source, {**self.steps, **record})


def read(path: Path) -> Weights:
    """The tensors of one file, unwrapped.

    Raises:
        BackboneError: the file is missing, empty, truncated, foreign, or holds no tensors.
    """
    if path.suffix not in SUFFIXES:
        raise BackboneError(
            f"checkpoint {path} has an unknown kind. Allowed: {', '.join(SUFFIXES)}."
        )
    check_file(path)
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state, steps = _unwrapped(loaded)
    if not state:
        raise BackboneError(
            f"checkpoint {path} holds no named tensors. Give a state dict, or a dict with one "
            f"under {', '.join(CONTAINERS)}."
        )
    return Weights(state, str(path), steps)


def check_file(path: Path) -> None:
    """Tell before the work that a checkpoint is not there.

    Raises:
        BackboneError: it is no file.
    """
    if not path.is_file():
        raise BackboneError(f"checkpoint {path} is not a file. Check the path.")


def read_sharded(index: Path, shards: Callable[[str], Path]) -> Weights:
    """The tensors of all files that a `*.index.json` names."""
    names = shard_names(index)
    state: State = {}
    for name in names:
        state |= read(shards(name)).state
    return Weights(state, str(index), {"shards": len(names)})


def shard_names(index: Path) -> list[str]:
    """The files that a `*.index.json` names."""
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def digest(state: "Mapping[str, torch.Tensor]") -> str:
    """SHA-256 over sorted names, dtypes, shapes and bytes of tensors, as 64 hexadecimal digits.

    Over tensors and not over a file, so that the same weights published as `.bin` and as
    `.safetensors`, or saved inside a training checkpoint, are the same weights.
    """
    import torch

    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def check_finite(weights: Weights) -> None:
    """Refuse weights with NaN or infinity, naming the first tensor.

    Raises:
        BackboneError: at least one tensor is not finite.
    """
    bad = [
        name
        for name, tensor in weights.state.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if bad:
        raise BackboneError(
            f"checkpoint {weights.source} holds NaN or infinity in {listed(bad)}: its training "
            "diverged. Give an earlier checkpoint."
        )


def misfit(
    source: str,
    model: str,
    *,
    missing: Iterable[str],
    unexpected: Iterable[str],
    reshaped: Iterable[str] = (),
) -> BackboneError | None:
    """The error that lists the keys that do not fit, or None where all fit."""
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    found = [f"{word}: {listed(sorted(names))}" for word, names in parts.items() if names]
    if not found:
        return None
    return BackboneError(
        f"checkpoint {source} does not fit {model}; {'; '.join(found)}. "
        f"Give weights of exactly this architecture."
    )


def fill(module: "torch.nn.Module", weights: Weights, model: str) -> None:
    """Load `weights` into `module`: every name, every shape, nothing more and nothing less.

    Raises:
        BackboneError: a key is missing, unexpected or of another shape; they are listed.
    """
    wanted, given = module.state_dict(), weights.state
    error = misfit(
        weights.source,
        model,
        missing=wanted.keys() - given.keys(),
        unexpected=given.keys() - wanted.keys(),
        reshaped=[
            f"{name} ({list(given[name].shape)}, expected {list(wanted[name].shape)})"
            for name in wanted.keys() & given.keys()
            if wanted[name].shape != given[name].shape
        ],
    )
    if error:
        raise error
    module.load_state_dict(given, strict=True)


def listed(names: list[str]) -> str:
    """The first few names and how many there are: `3 keys (a, b, c)`."""
    return f"{len(names)} {'key' if len(names) == 1 else 'keys'} ({some(names)})"


def _read_safetensors(path: Path) -> Any:  # noqa: ANN401 - as loose as the file
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Any:  # noqa: ANN401 - as loose as the file
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any: its unpickler takes each byte of a foreign file for an order
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BackboneError:
    words = "".join(str(error).strip().splitlines()[:1])[:160].rstrip(".")
    reason = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return BackboneError(
        f"checkpoint {path} ({path.stat().st_size} bytes) cannot be read ({reason}): it is "
        "truncated, of another kind, or more than tensors. Copy it again, or save its state dict "
        "as .safetensors."
    )


def _unwrapped(loaded: Any) -> "tuple[State, dict[str, Any]]":  # noqa: ANN401
    import torch

    steps: dict[str, Any] = {}
    if not isinstance(loaded, dict):
        return {}, steps
    container = next((key for key in CONTAINERS if isinstance(loaded.get(key), dict)), None)
    if container:
        loaded, steps = loaded[container], {"container": container}
    if not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        return {}, steps
    state, prefix = _unprefixed(loaded)
    return state, steps | ({"prefix": prefix} if prefix else {})


def _unprefixed(state: "State") -> "tuple[State, str]":
    stripped = ""
    while found := next((p for p in PREFIXES if state and all(k.startswith(p) for k in state)), ""):
        state = {name.removeprefix(found): tensor for name, tensor in state.items()}
        stripped += found
    return state, stripped
