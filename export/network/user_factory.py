"""Import a user's factory and call it: here a user's own code runs."""

from __future__ import annotations

import importlib
import inspect
import traceback
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

from export.request.source import ModuleSource
from export.request.user_code import LIBRARIES, Target, parse_target
from export.request.user_sources import extend_import_path
from pfd_models.errors import ModuleError, PfdError, unknown

__all__ = ["call_factory"]


def call_factory(source: ModuleSource) -> nn.Module:
    """Import the factory and call it.

    Raises:
        ModuleError: The module does not import, has no such factory, or the factory fails or
            returns something else than an ``nn.Module``. The line names the user's own line.
    """
    target = parse_target(source.target)
    extend_import_path(source)
    try:
        module = importlib.import_module(target.module)
    except Exception as error:  # user code runs here: whatever it raises is the answer
        raise ModuleError(f"cannot import {target.module}: {_blame(error)}") from error
    if target.module in LIBRARIES:
        factory = _find_in_library(target, module)
    else:
        factory = _find(target, module)
    has_arguments = bool(target.args or target.kwargs)
    if isinstance(factory, nn.Module):
        if has_arguments:
            raise ModuleError(
                f"{target.module}:{target.factory} is a module, not a factory; write it without "
                "arguments"
            )
        return factory
    call = source.target if has_arguments else f"{source.target}()"
    try:
        built = factory(*target.args, **target.kwargs)
    except PfdError:
        raise
    except Exception as error:  # user code runs here: whatever it raises is the answer
        raise ModuleError(f"{call} failed: {_blame(error)}") from error
    if not isinstance(built, nn.Module):
        raise ModuleError(
            f"{call} returned {type(built).__name__}; it must return a torch.nn.Module"
        )
    return built


def _find(target: Target, module: ModuleType) -> Any:
    found: Any = module
    for part in target.factory.split("."):
        owner, found = found, getattr(found, part, None)
        if found is None:
            public = [n for n in vars(owner) if not n.startswith("_") and callable(vars(owner)[n])]
            raise ModuleError(unknown("factory", part, public[:20], owner=target.module))
    return found


def _find_in_library(target: Target, library: Any) -> Callable[..., Any]:
    """Return what makes a library's network by its name there, without trained weights.

    Weights are downloaded only where the target's own arguments ask for them.
    """
    models = library.models if target.module == "torchvision" else library
    known = models.list_models()
    bare = target.factory.partition(".")[0]  # timm's names may end with a tag of the weights
    if bare not in known:
        near = [name for name in known if name[:3] == bare[:3]] or known
        raise ModuleError(unknown("network", bare, near[:20], owner=target.module))

    def make(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as of another way to initialise to come
            if target.module == "timm":
                return library.create_model(
                    target.factory, *args, **{"pretrained": False, **kwargs}
                )
            taken = inspect.signature(models.get_model_builder(bare)).parameters
            absent = {name: None for name in ("weights", "weights_backbone") if name in taken}
            return models.get_model(bare, *args, **{**absent, **kwargs})

    return make


def _blame(error: BaseException) -> str:
    """Return the last line of user code on the traceback and the error, in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    frames = [f for f in frames if "importlib" not in f.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{where}{type(error).__name__}: {first}"
