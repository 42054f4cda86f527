"""Everything that must be equal for two results to be compared, as flat fields with one hash."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from backbench.tasks.task import Task

RULES = 1
"""Raised whenever Backbench itself changes how a number comes about."""

# Words for people, and fields that say which variant was asked for rather than what it is.
_NOT_COMPARED = ("description", "licence", "expect", "variants", "variant", "samples")
SAMPLES = "samples.fingerprint"
MEASURED = (SAMPLES, "folds.manifest")
"""Fields that only the samples themselves tell."""


@dataclass(frozen=True)
class Protocol:
    """Flat `dotted.field -> JSON value`; backbone and checkpoint are not in it."""

    fields: Mapping[str, str]

    @classmethod
    def stated(cls, task: Task) -> "Protocol":
        """What a resolved task says by itself: all but the fields of `MEASURED`."""
        compared = {k: v for k, v in asdict(task).items() if k not in _NOT_COMPARED}
        return cls(dict(sorted(flatten(compared | {"rules": RULES}).items())))

    @classmethod
    def of(cls, task: Task, *, samples: str, folds: str) -> "Protocol":
        """The protocol of a resolved task.

        Args:
            task: with its head's settings complete, defaults included.
            samples: fingerprint of the samples (ids, labels, groups, splits, contents).
            folds: hash of the fold manifest.
        """
        measured = flatten(dict(zip(MEASURED, (samples, folds), strict=True)))
        return cls(dict(sorted({**cls.stated(task).fields, **measured}.items())))

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(dict(self.fields)).encode()).hexdigest()[:16]

    def differences(
        self, other: "Protocol", *, free: Iterable[str] = ()
    ) -> dict[str, tuple[str, str]]:
        """Fields that differ: (mine, the other's); at or below a `free` prefix they may."""
        names = sorted({*self.fields, *other.fields})
        pairs = {n: (self.fields.get(n, "absent"), other.fields.get(n, "absent")) for n in names}
        free = tuple(free)
        return {n: p for n, p in pairs.items() if p[0] != p[1] and not below(n, free)}


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as `dotted.field -> JSON text`."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(item)
    return flat


def below(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted name is one of the prefixes or a field of one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
