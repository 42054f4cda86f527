"""Options that several commands share, each written once."""

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Words(click.ParamType[tuple[str, ...]]):
    """Comma-separated words; none where there is no text at all."""

    name = "a,b,c"

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, ...]:
        """Split at commas; nothing between two of them is a slip, of a shell variable mostly."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in value.split(",")) if value.strip() else ()
        if "" in words:
            self.fail(f"'{value}' has an empty word between its commas.", param, ctx)
        return words


class Overrides(Words):
    """`field=value`s, separated by semicolons: a value may hold commas."""

    name = "field=value"

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, ...]:
        """Split at semicolons."""
        del param, ctx
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in value.split(";") if part.strip())


task = click.option(
    "--task", default="digits", show_default=True, help="A packaged task, or a path to a .toml."
)
backbone = click.option(
    "--backbone", required=True, help="A row of the table, timm:…, open_clip:…/… or hf:…."
)
checkpoint = click.option(
    "--checkpoint", default="default", show_default=True, help="Published name, file or s3:// key."
)
seed = click.option("--seed", default="all", show_default=True, help="all, 42 or 42,123,456.")
fold = click.option("--fold", default="all", show_default=True, help="all, 7, 0-10 or 3,5.")
head = click.option(
    "--head", default="", help="linear, logreg, ridge, knn, mlp or stress; else the task's."
)
variant = click.option("--variant", default="", help="One of the task's variants.")
overrides = click.option(
    "--set",
    "overrides",
    type=Overrides(),
    multiple=True,
    callback=lambda _, __, given: tuple(chain.from_iterable(given)),
    help="Override task fields: head.lr=1e-3; several are separated by ';', or each has its --set.",
)


permute_labels = click.option(
    "--permute-labels",
    is_flag=True,
    help="Shuffle the labels between samples: the leakage self-test, which has to score chance.",
)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator from several, in the order of the help page."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


question = together(task, variant, overrides, permute_labels)


def changes(overrides: tuple[str, ...], *, permute_labels: bool) -> tuple[str, ...]:
    """The overrides, with the flag as one of them."""
    return (*overrides, "permute_labels=true") if permute_labels else overrides
