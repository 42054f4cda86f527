"""A guard: a fault that was looked for and found, in words and with its number."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["fault", "warning", "note"]


@dataclass(frozen=True)
class Guard:
    """What fired.

    Attributes:
        name: which guard, e.g. `constant_predictor`.
        message: one sentence that carries the number.
        number: the figure behind it, in the guard's own unit.
        severity: a `fault` keeps the row from becoming champion; a `warning` is shown; a `note`
            explains.
        details: lines to look at, e.g. the pairs of near-duplicates; the first few.
    """

    name: str
    message: str
    number: float
    severity: Severity
    details: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"details": list(self.details)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Guard":
        """From what `to_dict` wrote."""
        return cls(**{**given, "details": tuple(given.get("details", ()))})


def merged(guards: Iterable[Guard]) -> tuple[Guard, ...]:
    """Without repetitions (the first of each name and message stays), worst first."""
    order = ("fault", "warning", "note")
    unique = {(guard.name, guard.message): guard for guard in reversed(list(guards))}
    return tuple(sorted(unique.values(), key=lambda g: (order.index(g.severity), g.name)))
