"""Copy a module and swap parts of the copy."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn

from pfd_models.errors import ConversionError
from pfd_models.zoo.spec import ModelSpec

__all__ = ["copy_module", "replace_everywhere"]


def copy_module(model: nn.Module) -> nn.Module:
    """Return a deep copy of a user's module, without the specification of a zoo's network.

    Raises:
        ConversionError: It is a TorchScript module or holds something that cannot be copied.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ConversionError("a TorchScript module cannot be rewritten; convert the eager module")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a user's module warns of is not ours to say
            twin = copy.deepcopy(model)
    except Exception as error:  # what a user's module holds may refuse a copy in any way
        raise ConversionError(
            f"{type(model).__name__} cannot be copied ({error}); convert it before it is used"
        ) from error
    if isinstance(getattr(twin, "spec", None), ModelSpec):
        del twin.spec  # a rewritten network is no longer what the zoo's specification says
    return twin


def replace_everywhere(
    model: nn.Module, old: nn.Module, new: nn.Module, *, inside: nn.Module
) -> nn.Module:
    """Put `new` wherever `old` is registered, shared registrations included.

    Args:
        model: Changed in place.
        old: What to look for.
        new: What to put there.
        inside: The part of the model whose own registrations of `old` stay.

    Returns:
        `model`, or `new` where `model` itself was `old`.
    """
    kept = set(inside.modules())
    for parent in list(model.modules()):
        if parent in kept:
            continue
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new
    return new if model is old else model
