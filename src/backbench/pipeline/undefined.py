"""Values that are undefined or infinite, in JSON, which has neither: null."""

import math
from collections.abc import Iterable, Mapping
from typing import Any


def nulled(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """`value` with null in the place of every NaN and infinity, however deep."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: nulled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nulled(item) for item in value]
    return value


def numbers(written: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What `nulled` wrote, with NaN where one of `names` is null, or holds nulls in a list."""
    return {**written, **{name: _number(written[name]) for name in names}}


def _number(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return tuple(map(_number, value))
    return math.nan if value is None else value
