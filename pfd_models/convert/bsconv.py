"""Replace the dense 3x3 and 5x5 convolutions of anyone's network by blueprint separable ones.

Paper: Rethinking Depthwise Separable Convolutions - https://arxiv.org/abs/2003.13549. As in the
padding-free downsampling paper's ``_bsconvu`` networks, the stem is included; 1x1 convolutions
and grouped ones stay. The new convolutions carry stride, padding, dilation and bias of those they
stand for, and start from fresh default weights drawn from torch's global generator.
"""

from __future__ import annotations

import copy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pfd_models.convert.flow import Shape, record_flow
from pfd_models.convert.sites import Conversion, Site, size_text
from pfd_models.convert.surgery import copy_module, replace_everywhere
from pfd_models.errors import ConversionError, unknown
from pfd_models.layers.bsconv import BSConvS, BSConvU

__all__ = ["Kind", "to_bsconv"]

Kind = Literal["U", "S"]
_KERNELS = ((3, 3), (5, 5))


def to_bsconv(
    model: nn.Module,
    kind: Kind,
    *,
    p: float = 0.25,
    example_input: Tensor | tuple[Any, ...] | None = None,
) -> Conversion:
    """Return a copy of `model` with blueprint separable convolutions for its dense 3x3 and 5x5.

    A site is an nn.Conv2d of exactly that type with one group and a 3x3 or 5x5 kernel. A
    subclass (timm's Conv2dSame) computes something else and is left, with its reason in
    ``left``. Each replacement is held to the output shape of what it replaces.

    Args:
        model: Any module; not changed.
        kind: ``"U"``: 1x1, then depthwise; ``"S"``: 1x1 into a subspace and BN, 1x1 and BN,
            then depthwise.
        p: Subspace share of kind S: ceil(p * input channels), at least 4.
        example_input: Where given, the model is run before and after, the shapes are recorded
            in the sites, and the shape of the result is held to the original's.

    Returns:
        The copy, and each site in the order of registration.

    Raises:
        ConversionError: The kind is unknown, there is nothing to replace, or the rewritten
            model does not run or gives another shape.
        SpecError: p is not in (0, 1].
    """
    if kind not in get_args(Kind):
        raise ConversionError(unknown("BSConv kind", kind, get_args(Kind)))
    converted = copy_module(model)
    found, left = _candidates(converted)
    if not found:
        raise ConversionError(
            f"{type(model).__name__} has no dense 3x3 or 5x5 convolution to replace"
            + (f": {'; '.join(left)}" if left else "")
        )
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    original = None if example_input is None else record_flow(converted, inputs)
    blocks: dict[str, nn.Sequential] = {}
    for name, conv in found.items():
        block = _blueprint(conv, kind, p)
        _hold_shape(name, conv, block)
        converted = replace_everywhere(converted, conv, block, inside=block)
        blocks[name] = block
    after = None if original is None else record_flow(converted, inputs, like=original)
    sites = []
    for name, conv in found.items():
        before = original.shapes(conv) if original else None
        now = after.shapes(blocks[name]) if after else None
        sites.append(_site(name, conv, blocks[name], before, now))
    return Conversion(model=converted, sites=tuple(sites), left=tuple(left))


def _candidates(model: nn.Module) -> tuple[dict[str, nn.Conv2d], list[str]]:
    found: dict[str, nn.Conv2d] = {}
    left: list[str] = []
    for name, module in model.named_modules():
        dense = isinstance(module, nn.Conv2d) and module.groups == 1
        if not dense or module.kernel_size not in _KERNELS:
            continue
        if type(module) is nn.Conv2d:
            found[name] = module
        else:
            left.append(f"{name}: a {type(module).__name__} is not a plain nn.Conv2d")
    return found, left


def _blueprint(conv: nn.Conv2d, kind: Kind, p: float) -> nn.Sequential:
    """Build what stands for `conv`, where it is and in its mode."""
    arguments: dict[str, Any] = {
        "in_channels": conv.in_channels,
        "out_channels": conv.out_channels,
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "bias": conv.bias is not None,
        "padding_mode": conv.padding_mode,
    }
    block = BSConvU(**arguments) if kind == "U" else BSConvS(**arguments, p=p)
    return block.to(conv.weight).train(conv.training)


def _hold_shape(name: str, conv: nn.Conv2d, block: nn.Sequential) -> None:
    """Compare the output shapes of both on a map that is large enough, without computing it."""
    sample = torch.empty(2, conv.in_channels, 33, 34, device="meta", dtype=conv.weight.dtype)
    want, got = (copy.deepcopy(m).to("meta")(sample).shape for m in (conv, block))
    if want != got:
        raise ConversionError(
            f"{name}: the replacement gives {size_text(tuple(got))} where the convolution gives "
            f"{size_text(tuple(want))}"
        )


def _site(
    name: str,
    conv: nn.Conv2d,
    block: nn.Sequential,
    before: tuple[Shape, Shape] | None,
    now: tuple[Shape, Shape] | None,
) -> Site:
    if before and now and before != now:
        raise ConversionError(
            f"{name}: {size_text(before[0])} -> {size_text(before[1])} became "
            f"{size_text(now[0])} -> {size_text(now[1])}"
        )
    kernel = f"{conv.kernel_size[0]}x{conv.kernel_size[1]}"
    channels = " -> ".join(
        str(c) for c in (conv.in_channels, *(m.out_channels for m in _convolutions(block)))
    )
    return Site(
        name=name,
        before=f"dense {kernel} s{conv.stride[0]}, {conv.in_channels} -> {conv.out_channels}",
        after=f"{type(block).__name__} {kernel} s{conv.stride[0]}, {channels}",
        input_before=before[0] if before else None,
        output_before=before[1] if before else None,
        input_after=now[0] if now else None,
        output_after=now[1] if now else None,
    )


def _convolutions(block: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in block if isinstance(module, nn.Conv2d)]
