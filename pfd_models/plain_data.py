"""Records to what JSON holds, and text back to records: the project's one way in both directions.

Text that comes from outside (a file, a device, a database) becomes a type here or not at all:
msgspec checks every field's type on the way in, and a wrong shape is one line that says where.
Enumerations are stored by value, sets sorted, arrays as lists, CPU masks as hexadecimal text
(JSON numbers lose bits beyond 53), mapping keys as text. Imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from pfd_models.errors import InputError, PfdError

__all__ = ["CpuMask", "decode_json", "from_plain", "is_hex", "to_plain"]

T = TypeVar("T")

_SHOWN = 150  # characters of either end of a long value

if TYPE_CHECKING:
    CpuMask = int
else:

    class CpuMask(int):
        """Bit i set: CPU i allowed. Stored as hexadecimal text; everywhere else an int."""


def to_plain(value: Any, *, without: Collection[str] = ()) -> Any:
    """Turn a record, or any value inside one, into what JSON holds.

    Args:
        value: The record.
        without: Names of its own fields to leave out; fields whose metadata say
            ``{"stored": False}`` are left out everywhere.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _field_to_plain(field, getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("stored", True) and field.name not in without
        }
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars, without importing NumPy
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def is_hex(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field's number is stored as hexadecimal text."""
    return str(field.type) == "CpuMask"


def _field_to_plain(field: dataclasses.Field[Any], value: Any) -> Any:
    return hex(value) if is_hex(field) else to_plain(value)


def from_plain(
    kind: type[T],
    plain: Any,
    *,
    what: str = "",
    error: type[PfdError] = InputError,
    strict: bool = True,
) -> T:
    """Build a record from its stored form; every type is checked and its own checks run again.

    Args:
        kind: A dataclass, or any type that msgspec knows.
        plain: What JSON held.
        what: How the message begins, as ``artifacts/x.json``; the type's name when empty.
        error: What is raised.
        strict: Refuse fields that the type does not know; False ignores them.

    Raises:
        PfdError: of the class `error`: a field is missing, unknown or of another type; the line
            names it.
    """
    import msgspec  # here and below: importing an error or a path must stay cheap

    what = what or getattr(kind, "__name__", str(kind))
    try:
        made = msgspec.convert(plain, kind, dec_hook=_decode_special, str_keys=True)
    except msgspec.ValidationError as wrong:
        raise error(_shape_message(what, wrong)) from wrong
    if strict and (extra := _unknown_field(plain, made, "")):
        raise error(f"{what} has no field {_shorten(extra)!r}; was it written by a newer version?")
    return made


def decode_json(
    kind: type[T],
    text: str | bytes,
    *,
    what: str,
    error: type[PfdError] = InputError,
    strict: bool = True,
) -> T:
    """Build a record from JSON text.

    Args:
        kind: As in `from_plain`.
        text: Of any length and content; also text that was made to do harm.
        what: How the message begins.
        error: What is raised.
        strict: As in `from_plain`.

    Raises:
        PfdError: of the class `error`: it is no JSON, or not of this shape; one line.
    """
    import msgspec

    try:
        plain = msgspec.json.decode(text)
        return from_plain(kind, plain, what=what, error=error, strict=strict)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise error(f"{what} is not valid JSON: {_one_line(wrong)}") from wrong
    except RecursionError as wrong:
        raise error(f"{what} cannot be read: it is nested too deeply") from wrong


def _shape_message(what: str, wrong: Exception) -> str:
    text = _one_line(wrong)
    if missing := re.match(r"Object missing required field `(.+?)`(?: - at `\$\.?(.*)`)?$", text):
        where = f" at {missing[2]}" if missing[2] else ""
        return f"{what} lacks the field {missing[1]!r}{where}: it is not whole"
    return f"{what} cannot be read: {text}"


def _one_line(wrong: Exception) -> str:
    """Return an error's words, without the middle of a value that it repeats at full length."""
    return _shorten(" ".join(str(wrong).split()))


def _shorten(text: str) -> str:
    if len(text) <= 2 * _SHOWN:
        return text
    return f"{text[:_SHOWN]} … {text[-_SHOWN:]}"


def _decode_special(kind: Any, value: Any) -> Any:
    """Convert what msgspec does not know: CPU masks, NumPy arrays, paths."""
    if kind is CpuMask:
        if not isinstance(value, str):
            raise TypeError(f"a CPU mask is hexadecimal text, not {type(value).__name__}")
        return CpuMask(int(value, 16))
    if "numpy.ndarray" in str(kind):
        import numpy as np

        (dtype,) = kind.__args__[1].__args__
        made = np.asarray(value)
        if made.size and made.dtype.kind not in "iuf":
            raise ValueError("give a row of numbers")
        return made.astype(dtype)
    if isinstance(kind, type) and hasattr(kind, "__fspath__"):
        return kind(value)
    raise NotImplementedError(f"no rule to read {kind}")


def _unknown_field(plain: Any, made: Any, path: str) -> str:
    """Return the path of a field that the record does not have, or nothing.

    msgspec ignores unknown fields of dataclasses, which would lose what a newer version wrote.
    """
    if isinstance(plain, Mapping) and dataclasses.is_dataclass(made):
        known = {f.name for f in dataclasses.fields(made) if f.metadata.get("stored", True)}
        for key, value in plain.items():
            if key not in known:
                return f"{path}{key}"
            if found := _unknown_field(value, getattr(made, key), f"{path}{key}."):
                return found
    elif isinstance(plain, Mapping) and isinstance(made, Mapping):
        for key, value in made.items():
            if found := _unknown_field(plain.get(str(key)), value, f"{path}{key}."):
                return found
    elif isinstance(plain, list | tuple) and isinstance(made, list | tuple):
        for number, (value, item) in enumerate(zip(plain, made, strict=False)):
            if not dataclasses.is_dataclass(item):
                break  # rows of numbers need no look at each
            if found := _unknown_field(value, item, f"{path}{number}."):
                return found
    return ""
