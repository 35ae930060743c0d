"""A user's own module, named on the command line as ``package.module:factory``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from export.request.source import ModuleSource
from pfd_models.errors import ModuleError, PfdError, SpecError, unknown

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build_module", "distributions_of", "parse_shape", "sources_of"]


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


def build_module(source: ModuleSource) -> nn.Module:
    """Import the factory and call it.

    Raises:
        ModuleError: The module does not import, has no such factory, or the factory fails or
            returns something else than an ``nn.Module``. The line names the user's own line.
    """
    from torch import nn

    name, _, attribute = _split(source)
    _extend_path(source)
    try:
        module = importlib.import_module(name)
    except Exception as error:  # user code runs here: whatever it raises is the answer
        raise ModuleError(f"cannot import {name}: {_blame(error)}") from error
    factory = getattr(module, attribute, None)
    if factory is None:
        public = [n for n in vars(module) if not n.startswith("_") and callable(vars(module)[n])]
        raise ModuleError(unknown("factory", attribute, public[:20], owner=name))
    if isinstance(factory, nn.Module):
        return factory
    try:
        built = factory()
    except PfdError:
        raise
    except Exception as error:  # user code runs here: whatever it raises is the answer
        raise ModuleError(f"{source.target}() failed: {_blame(error)}") from error
    if not isinstance(built, nn.Module):
        raise ModuleError(
            f"{source.target}() returned {type(built).__name__}; it must return a torch.nn.Module"
        )
    return built


def sources_of(source: ModuleSource) -> list[Path]:
    """Return the files whose change may change the module: its folder, or its package.

    An installed distribution is represented by its version instead (`distributions_of`).
    """
    if distributions_of(source):
        return []
    name, _, _ = _split(source)
    _extend_path(source)
    top = name.partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        return []
    origin = Path(found.origin)
    return [origin.parent] if found.submodule_search_locations else [origin]


def distributions_of(source: ModuleSource) -> tuple[str, ...]:
    """Return the installed distributions that provide the module; none for the user's files."""
    top = source.target.partition(":")[0].partition(".")[0]
    return tuple(sorted(set(metadata.packages_distributions().get(top, ()))))


def _split(source: ModuleSource) -> tuple[str, str, str]:
    name, colon, attribute = source.target.partition(":")
    if not (name and colon and attribute):
        raise SpecError(
            f"--module {source.target!r} names no factory; write it as package.module:factory"
        )
    return name, colon, attribute


def _extend_path(source: ModuleSource) -> None:
    if source.search_path and source.search_path not in sys.path:
        sys.path.insert(0, source.search_path)


def _blame(error: BaseException) -> str:
    """Return the last line of user code on the traceback and the error, in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    frames = [f for f in frames if "importlib" not in f.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{where}{type(error).__name__}: {first}"
