"""What makes two vectors comparable: equal weights, equal representation, equal transform."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backbench.backbones.names import called

_KEY_DIGITS = 16
_PROVENANCE = frozenset({"revision"})


@dataclass(frozen=True)
class Identity:
    """One vector space.

    Attributes:
        backbone, checkpoint: the names it was asked for by.
        weights: SHA-256 over the tensors the network uses (see `checkpoints.digest`); `none`
            where there are no weights.
        representation: library, model, revision, config, tokens, layer, pooling, projected,
            normalised, dim.
        transform: the fields of `Transform`.
    """

    backbone: str
    checkpoint: str
    weights: str
    representation: Mapping[str, Any]
    transform: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.backbone, self.checkpoint)

    @property
    def key(self) -> str:
        """16 hexadecimal digits over weights, representation and transform.

        The names asked by are not in it: one space under two names is one space. Nor is the hub
        revision: a commit that only edits the model card moves no vector, and the weights, the
        architecture's config and the transform are in the key themselves.
        """
        space = {
            "weights": self.weights,
            "representation": {
                field: value
                for field, value in self.representation.items()
                if field not in _PROVENANCE
            },
            "transform": dict(self.transform),
        }
        return hashlib.sha256(canonical(space).encode()).hexdigest()[:_KEY_DIGITS]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Identity":
        """The identity that `to_dict` wrote."""
        return cls(**table)


def canonical(value: object) -> str:
    """JSON of one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_digest(config: Mapping[str, Any], ignored: frozenset[str] = frozenset()) -> str:
    """16 hexadecimal digits of an architecture's config.

    It catches what weights do not show, an activation function for example.
    """
    kept = {key: value for key, value in config.items() if key not in ignored}
    return hashlib.sha256(canonical(kept).encode()).hexdigest()[:_KEY_DIGITS]
