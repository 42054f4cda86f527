"""How to extract, checked at the door."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backbench.errors import FeatureError, unknown

if TYPE_CHECKING:
    from rich.console import Console

PRECISIONS = ("auto", "fp32", "bf16")
DTYPES = ("float32", "float16")

Remote = Callable[[str], Iterable[Callable[[], Path]]]
"""Feature files of other runs by identity key, the likeliest first; each is fetched when called."""


@dataclass(frozen=True)
class Options:
    """The keyword arguments of `extract`, which explains them.

    Raises:
        FeatureError: an unknown precision or dtype, or a number out of range.
    """

    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    dtype: str = "float32"
    max_error_fraction: float = 0.0
    verify: bool = False
    remote: Remote | None = None
    console: "Console | None" = None

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("dtype", self.dtype, DTYPES)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("workers", self.workers, 0)
        if not 0 <= self.max_error_fraction <= 1:
            raise FeatureError(
                f"max_error_fraction is {self.max_error_fraction}; allowed is 0 to 1, "
                "the share of samples that may be unreadable."
            )


def _one_of(name: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise FeatureError(unknown(name, given, allowed))


def _at_least(name: str, given: int | None, least: int) -> None:
    if given is not None and given < least:
        raise FeatureError(f"{name} is {given}; allowed is {least} or more.")
