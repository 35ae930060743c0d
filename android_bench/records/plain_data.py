"""Records to what JSON holds, and back; the one place where their stored form is decided.

Enumerations are stored by value, sets sorted, arrays as lists, CPU masks as hexadecimal text
(JSON numbers lose bits beyond 53), mapping keys as text.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from pfd_models.errors import InputError

__all__ = ["from_plain", "is_hex", "to_plain"]

T = TypeVar("T")


def is_hex(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field's number is stored as hexadecimal text."""
    return field.metadata.get("form") == "hex"


def to_plain(value: Any, *, without: Collection[str] = ()) -> Any:
    """Turn a record, or any value inside one, into what JSON holds.

    Args:
        value: The record.
        without: Names of its fields to leave out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [f for f in _fields(value) if f.name not in without]
        return {f.name: _field_to_plain(f, getattr(value, f.name)) for f in kept}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(to_plain(v) for v in value)
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return value


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _field_to_plain(field: dataclasses.Field[Any], value: Any) -> Any:
    return hex(value) if is_hex(field) else to_plain(value)


def from_plain(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Build a record from its stored form; its own checks run again.

    Raises:
        InputError: A field is missing, unknown or not allowed; the line names it.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in _fields(kind)}
    if extra := sorted(set(plain) - set(known)):
        raise InputError(
            f"{kind.__name__} has no field {extra[0]!r}; was it written by a newer version?"
        )
    values = {}
    for name, field in known.items():
        if name in plain:
            value = plain[name]
            values[name] = int(value, 16) if is_hex(field) else _convert(hints[name], value)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{kind.__name__} lacks the field {name!r}: the record is not whole")
    return kind(**values)


def _convert(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else _convert(inner, value)
    if origin is tuple:
        return tuple(_convert(arguments[0], v) for v in value)
    if origin is frozenset:
        return frozenset(_convert(arguments[0], v) for v in value)
    if origin is not None and issubclass(origin, Mapping):
        return {arguments[0](k): v for k, v in value.items()}
    if origin is np.ndarray:
        return np.asarray(value, dtype=typing.get_args(arguments[1])[0])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    return value
