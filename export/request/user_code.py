"""A user's own code as the request names it, and the files that decide it. Nothing is run."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

from export.request.source import ModuleSource
from pfd_models.errors import SpecError

__all__ = [
    "extend_import_path",
    "find_distributions",
    "find_sources",
    "parse_range",
    "parse_shape",
    "split_target",
]


def parse_shape(text: str) -> tuple[int, ...]:
    """Read a shape as ``1,3,224,224`` or ``1x3x224x224``.

    Raises:
        SpecError: It is no list of positive whole numbers.
    """
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise SpecError(f"--input {text!r} is no shape; write it as 1,3,224,224")
    return shape


def parse_range(text: str) -> tuple[float, float]:
    """Read the lowest and the highest value of an input as ``0,255``.

    Raises:
        SpecError: It is not two numbers.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--input-range {text!r} is no range; write it as 0,255") from None
    return low, high


def find_sources(source: ModuleSource) -> list[Path]:
    """Return the files whose change may change the module: its folder, or its package.

    An installed distribution is represented by its version instead (`find_distributions`).
    """
    if find_distributions(source):
        return []
    name, _ = split_target(source)
    extend_import_path(source)
    top = name.partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        return []
    origin = Path(found.origin)
    return [origin.parent] if found.submodule_search_locations else [origin]


def find_distributions(source: ModuleSource) -> tuple[str, ...]:
    """Return the installed distributions that provide the module; none for the user's files."""
    top = source.target.partition(":")[0].partition(".")[0]
    return tuple(sorted(set(metadata.packages_distributions().get(top, ()))))


def split_target(source: ModuleSource) -> tuple[str, str]:
    """Return the module's and the factory's name.

    Raises:
        SpecError: The target names no factory.
    """
    name, colon, attribute = source.target.partition(":")
    if not (name and colon and attribute):
        raise SpecError(
            f"--module {source.target!r} names no factory; write it as package.module:factory"
        )
    return name, attribute


def extend_import_path(source: ModuleSource) -> None:
    """Let the source's folder be imported from, as the command line's own folder is."""
    if source.search_path and source.search_path not in sys.path:
        sys.path.insert(0, source.search_path)
