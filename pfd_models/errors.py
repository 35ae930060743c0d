"""Errors that end a command with one clear line.

The tree; a caller catches a branch and never parses text::

    PfdError                     exit status
    |- InputError                2   what the caller gave: fix it and call again
    |  |- SpecError                  unknown or impossible model, variant, data set, resolution
    |  |- WeightsError               a checkpoint that is unreadable or of another architecture
    |  |- ConversionError            a module that a conversion cannot rewrite
    |  |- ModuleError                a user's module that does not import, trace or export
    |  |- UnsupportedOperatorError   an operator that a file format has no lowering for
    |  |- DataError                  a data set that is absent, damaged or not what it should be
    |  |- RunError                   a training run that cannot begin or go on as asked
    |  `- OutputError                a folder or disk that cannot take the result
    |- GateError                 1   the work was done and a gate said no
    |  |- ParityError                a file does not compute what PyTorch computes
    |  |- DelegationError            operators stayed outside the delegate and that was forbidden
    |  |- IntegrityError             a stored file is not the one its manifest describes
    |  `- DivergenceError            training left the finite numbers
    `- DeviceError               3   the device or environment: worth retrying

A message has three parts: what was wrong, which value, what to do. This module imports
nothing heavy, so every package can use the root.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "ConversionError",
    "DataError",
    "DelegationError",
    "DeviceError",
    "DivergenceError",
    "GateError",
    "InputError",
    "IntegrityError",
    "ModuleError",
    "OutputError",
    "ParityError",
    "PfdError",
    "RunError",
    "SpecError",
    "UnsupportedOperatorError",
    "WeightsError",
    "unknown",
]


class PfdError(Exception):
    """Root of every error this project raises on purpose.

    Attributes:
        exit_status: Of a command that ends with it.
        is_reported: Whether another process, which has the same error, reports it.
    """

    exit_status: ClassVar[int] = 2
    is_reported: bool = False


class InputError(PfdError):
    """Something the caller gave is wrong."""


class SpecError(InputError):
    """An unknown or impossible model, variant, data set or resolution."""


class WeightsError(InputError):
    """A checkpoint that cannot be read or belongs to another architecture."""


class ConversionError(InputError):
    """A module that a conversion cannot rewrite."""


class ModuleError(InputError):
    """A user's module that does not import, trace or export."""


class UnsupportedOperatorError(InputError):
    """An operator, or a use of it, that a file format has no lowering for."""


class DataError(InputError):
    """A data set that is absent, damaged or not what it should be."""


class RunError(InputError):
    """A training run that cannot begin, or go on, as asked."""


class OutputError(InputError):
    """A folder that cannot be written or a disk that is full."""


class GateError(PfdError):
    """The work was done and a gate said no."""

    exit_status: ClassVar[int] = 1


class ParityError(GateError):
    """A file does not compute what PyTorch computes."""


class DelegationError(GateError):
    """Operators stayed outside the delegate although full delegation was required."""


class IntegrityError(GateError):
    """A stored file is not the one its manifest describes."""


class DivergenceError(GateError):
    """Training left the finite numbers."""


class DeviceError(PfdError):
    """The device or the environment failed; worth retrying."""

    exit_status: ClassVar[int] = 3


def unknown(kind: str, name: str, known: Iterable[str], *, owner: str = "") -> str:
    """Say that a name is unknown, with the nearest known ones and the whole list.

    Args:
        kind: What the name should have been, as ``"variant"``.
        name: The name as the user typed it.
        known: Every name that would have been right.
        owner: What the names belong to, as ``"ghostnet"``; left out when empty.

    Returns:
        One line, as ``unknown variant 'our' for ghostnet: did you mean 'ours'? (orig, ours)``.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f" did you mean {' or '.join(repr(n) for n in near)}?" if near else " choose one of"
    whose = f" for {owner}" if owner else ""
    return f"unknown {kind} {name!r}{whose}:{hint} ({', '.join(known)})"
