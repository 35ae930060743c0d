"""Import a user's factory and call it: here a user's own code runs."""

from __future__ import annotations

import importlib
import traceback

from torch import nn

from export.request.source import ModuleSource
from export.request.user_code import extend_import_path, split_target
from pfd_models.errors import ModuleError, PfdError, unknown

__all__ = ["call_factory"]


def call_factory(source: ModuleSource) -> nn.Module:
    """Import the factory and call it.

    Raises:
        ModuleError: The module does not import, has no such factory, or the factory fails or
            returns something else than an ``nn.Module``. The line names the user's own line.
    """
    name, attribute = split_target(source)
    extend_import_path(source)
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


def _blame(error: BaseException) -> str:
    """Return the last line of user code on the traceback and the error, in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    frames = [f for f in frames if "importlib" not in f.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{where}{type(error).__name__}: {first}"
