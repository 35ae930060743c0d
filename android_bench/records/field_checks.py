"""What a record's fields may hold: one refusal a line, with the field, its value and the rule."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pfd_models.errors import InputError

__all__ = ["at_least", "ordered", "required", "sha256_digits", "texts", "utc"]

K = TypeVar("K")
V = TypeVar("V")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def required(owner: object, condition: bool, field: str, rule: str) -> None:
    """Refuse a record whose field breaks a rule.

    Raises:
        InputError: The condition is false; the line names record, field, value and rule.
    """
    if not condition:
        value = getattr(owner, field)
        raise InputError(f"{type(owner).__name__}.{field} is {value!r}: {rule}")


def at_least(owner: object, least: int, *fields: str) -> None:
    """Refuse fields that are set and not a whole number of at least `least`."""
    for field in fields:
        value = getattr(owner, field)
        if value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            required(owner, whole and value >= least, field, f"give a whole number >= {least}")


def texts(owner: object, *fields: str) -> None:
    """Refuse fields that are empty or no text."""
    for field in fields:
        value = getattr(owner, field)
        required(owner, isinstance(value, str) and value != "", field, "give a text")


def utc(owner: object, *fields: str) -> None:
    """Refuse fields that are no ISO 8601 time in UTC, as ``2026-01-31T12:00:00.5+00:00``."""
    for field in fields:
        try:
            offset = datetime.datetime.fromisoformat(getattr(owner, field)).utcoffset()
        except (TypeError, ValueError):
            offset = None
        required(owner, offset == datetime.timedelta(0), field, "give an ISO 8601 time in UTC")


def sha256_digits(owner: object, *fields: str) -> None:
    """Refuse fields that are not 64 lower-case hexadecimal digits."""
    for field in fields:
        value = getattr(owner, field)
        right = isinstance(value, str) and _SHA256.fullmatch(value) is not None
        required(owner, right, field, "give 64 lower-case hexadecimal digits")


def ordered(values: Mapping[K, V] | Iterable[tuple[K, V]]) -> Mapping[K, V]:
    """Return a copy of a mapping in the order of its keys, so that equal ones are stored equal."""
    plain: dict[Any, V] = dict(values)
    return {key: plain[key] for key in sorted(plain)}
