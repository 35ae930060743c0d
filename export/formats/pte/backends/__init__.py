"""Delegates a ``.pte`` can be lowered for. A backend's name is its file's name in this folder.

A backend module has two functions and one constant::

    precisions: tuple[str, ...]            # of the networks it takes
    def partitioners() -> list[Partitioner]    # in order of preference; empty: no delegate
    def unavailable() -> str | None        # why it cannot be used here, or None

SDK imports stay inside the functions, so that listing the names costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from pfd_models.discovery import import_file, list_files
from pfd_models.errors import SpecError, unknown

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner

__all__ = ["Backend", "get_backend", "list_backends"]


class Backend(Protocol):
    """What a backend module offers."""

    precisions: tuple[str, ...]

    def partitioners(self) -> list[Partitioner]:
        """Return new partitioners; each lowering needs its own."""

    def unavailable(self) -> str | None:
        """Return why this machine cannot lower for the backend, or None."""


def list_backends() -> tuple[str, ...]:
    """Return the names of all backends, in alphabetical order."""
    return list_files(__name__)


def get_backend(name: str) -> Backend:
    """Return the backend module called `name`.

    Raises:
        SpecError: There is none, with the nearest names; or it cannot be used here, with why.
    """
    if name not in list_backends():
        raise SpecError(unknown("backend", name, list_backends()))
    backend = cast("Backend", import_file(__name__, name))
    if (reason := backend.unavailable()) is not None:
        raise SpecError(f"backend {name!r} cannot be used here: {reason}")
    return backend
