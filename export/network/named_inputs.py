"""A module whose inputs have names, as one that takes its tensors in order.

Everything behind it (capture, calibration, comparison) hands a module a row of tensors. One that
wants keywords, a dictionary or a tuple gets them here.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from export.request.source import InputTensor
from pfd_models.errors import ModuleError, unknown

__all__ = ["NamedInputs", "take_named_inputs"]


class NamedInputs(nn.Module):
    """Hands its tensors to a module's ``forward`` by the names of a request.

    Args:
        module: The user's.
        names: One for each tensor; empty ones are passed by position and come first.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)

    def forward(self, *tensors: Tensor) -> Any:
        """Run the module; its result is returned as it is."""
        args: list[Tensor] = []
        kwargs: dict[str, Any] = {}
        for name, tensor in zip(self.names, tensors, strict=True):
            first, *path = name.split(".")
            if not name:
                args.append(tensor)
            elif not path:
                kwargs[first] = tensor
            else:
                _place(kwargs.setdefault(first, {}), path, tensor)
        return self.module(*args, **{name: _tuples(value) for name, value in kwargs.items()})


def take_named_inputs(module: nn.Module, inputs: Sequence[InputTensor]) -> nn.Module:
    """Return the module, or one that hands it its inputs by name where the request names them.

    Raises:
        ModuleError: ``forward`` has no such parameter; the line names those it has.
    """
    names = [tensor.name for tensor in inputs]
    if not any(names):
        return module
    parameters = inspect.signature(module.forward).parameters.values()
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in names:
        first = name.partition(".")[0]
        if name and first not in known and not takes_any:
            line = unknown("input", first, known, owner=f"{type(module).__name__}.forward")
            if len(known) == 1:
                line += f"; if {known[0]} is a dictionary, write {known[0]}.{name}"
            raise ModuleError(line)
    named = NamedInputs(module, names)
    return named.train(module.training)


def _place(tree: dict[str, Any], path: list[str], tensor: Tensor) -> None:
    *folders, last = path
    for part in folders:
        tree = tree.setdefault(part, {})
    tree[last] = tensor


def _tuples(tree: Any) -> Any:
    """Turn dictionaries whose keys are numbers into tuples."""
    if not isinstance(tree, dict):
        return tree
    values = {key: _tuples(value) for key, value in tree.items()}
    if all(key.isdecimal() for key in values):
        return tuple(values[key] for key in sorted(values, key=int))
    return values
