"""Frozen dataclasses from plain mappings: every key known, every value of the declared type."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from backbench.errors import TaskError, unknown

T = TypeVar("T")
_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list",
}
"""Types as TOML's readers know them; any other is a table."""


def build(cls: type[T], given: Mapping[str, Any], where: str) -> T:
    """Make the dataclass `cls` from `given`, whose place in the task file is `where`.

    Lists become tuples and integers are taken for floats; nothing else is converted.

    Raises:
        TaskError: an unknown key (the nearest valid one is named), a missing key, a wrong type.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in given:
        if key not in fields:
            raise TaskError(unknown("field", f"{where}{key}", (where + name for name in fields)))
    missing = [name for name, field in fields.items() if _required(field) and name not in given]
    if missing:
        raise TaskError(f"'{where}{missing[0]}' is missing; give it a value in the task file.")
    return cls(**{key: convert(value, hints[key], f"{where}{key}") for key, value in given.items()})


def convert(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 - any TOML value
    """`value` as the type `hint`, or a TaskError that names `where` and both types."""
    for option in _options(hint):
        try:
            return _convert_one(value, option, where)
        except _WrongTypeError:
            continue
    raise TaskError(f"'{where}' is {value!r}, but has to be {_spell(hint)}.")


class _WrongTypeError(Exception):
    """This option of a union does not fit; another may."""


def _convert_one(  # noqa: PLR0911 - one line a type
    value: Any,  # noqa: ANN401 - any TOML value
    hint: Any,  # noqa: ANN401 - any type hint
    where: str,
) -> Any:  # noqa: ANN401 - any TOML value
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return build(typing.cast("type[Any]", hint), value, f"{where}.")
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(convert(item, inner, where) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        inner = typing.get_args(hint)[1]
        return {name: convert(item, inner, f"{where}.{name}") for name, item in value.items()}
    if origin is typing.Literal and value in typing.get_args(hint):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is None or hint is types.NoneType:
        return _only(value is None, value)
    return _only(hint is Any or type(value) is hint, value)


def _only(fits: bool, value: Any) -> Any:  # noqa: ANN401, FBT001 - any TOML value
    if not fits:
        raise _WrongTypeError
    return value


def _options(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any type hint
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _spell(hint: Any) -> str:  # noqa: ANN401 - any type hint
    options = [option for option in _options(hint) if option is not types.NoneType]
    return " or ".join(map(_spell_one, options))  # TOML cannot say None


def _spell_one(hint: Any) -> str:  # noqa: ANN401 - any type hint
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(hint))
    return _WORDS.get(origin or hint, "a table")
