"""Parts of a user's module that nothing here can work with, told before anything is tried."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pfd_models.errors import ModuleError

__all__ = ["require_plain"]


def require_plain(name: str, module: nn.Module) -> None:
    """Refuse parts that cannot be captured as they are.

    Args:
        name: How the line calls the module.
        module: Before it is captured.

    Raises:
        ModuleError: It is TorchScript, or has a part whose weights have no shape yet.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ModuleError(
            f"{name} is TorchScript, which cannot be captured; give the Python module it was "
            "made from"
        )
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            part = key.rpartition(".")[0]
            raise ModuleError(
                f"{name} has a lazy part that never ran, {part or 'itself'} "
                f"({type(module.get_submodule(part)).__name__}); let the factory run the network "
                "once on an input"
            )
