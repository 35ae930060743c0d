"""Modules whose weights are not float32: refused, or converted and compared with what they were."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from export.network.inputs import Arrays
from pfd_models.errors import ModuleError

__all__ = ["compare_precisions", "find_precision", "require_float32"]


def find_precision(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's weights: the first that is not float32, if one is not."""
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return next((kind for kind in kinds if kind != torch.float32), torch.float32)


def require_float32(module: nn.Module) -> None:
    """Refuse a module with weights of another precision.

    Raises:
        ModuleError: It has some; the line says how to convert it.
    """
    if (kind := find_precision(module)) != torch.float32:
        raise ModuleError(
            f"{type(module).__name__} has {_name(kind)} weights and the files are float32; "
            "give --to float32 to convert it"
        )


def compare_precisions(original: nn.Module, converted: nn.Module, samples: list[Arrays]) -> str:
    """Run a module in its own precision and in float32 and say in one line how far they differ.

    Args:
        original: In evaluation mode; weights that the converted one got since are copied into it.
        converted: The same module in float32.
        samples: Inputs of both, float32 where they are floats.
    """
    kind = find_precision(original)
    own = original.state_dict()
    for name, value in converted.state_dict().items():
        if not torch.equal(own[name].to(value.dtype), value):  # loaded or calibrated since
            own[name].copy_(value)
    try:
        with torch.no_grad():
            error = max(_distance(original, converted, sample, kind) for sample in samples)
    except RuntimeError as reason:  # as an operator that has no half-precision form on the CPU
        line = (str(reason).strip() or type(reason).__name__).splitlines()[0]
        return (
            f"{_name(kind)} weights converted to float32; the {_name(kind)} module does not run "
            f"here, so the difference is not known ({line})"
        )
    return (
        f"{_name(kind)} weights converted to float32: outputs differ by {error:.1e} of the largest "
        f"from the {_name(kind)} module's"
    )


def _distance(
    original: nn.Module, converted: nn.Module, sample: Arrays, kind: torch.dtype
) -> float:
    tensors = [torch.from_numpy(array) for array in sample]
    own = original(*(t.to(kind) if t.is_floating_point() else t for t in tensors))
    pairs = zip(_pytree.tree_leaves(own), _pytree.tree_leaves(converted(*tensors)), strict=True)
    return max((_relative_linf(a.double(), b.double()) for a, b in pairs), default=0.0)


def _relative_linf(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
