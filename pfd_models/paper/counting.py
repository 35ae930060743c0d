"""Parameters and multiply-accumulates, by the two counters that made the paper's tables.

They disagree with each other and with the truth: each counts what it knows of. Both look at leaf
modules only, so what is written as a function (a mean, a matrix product) costs nothing.
Sources: the BSConv library's profiler (https://arxiv.org/abs/2003.13549) for hyper-parameter set 1,
Stanford Dogs and ImageNet; thop 0.0.31 for hyper-parameter set 2, EfficientFormerV2 and VegFru.
`layer_macs` is the true count of convolutions and matrix products, module by module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Counts", "bsconv_profile", "count_params", "layer_macs", "thop_counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a counter found for one image.

    Attributes:
        params: Parameters it saw.
        macs: Multiply-accumulates and what it adds to them.
    """

    params: int
    macs: int


LayerRule = Callable[[Any, Tensor, Tensor], int]


def count_params(model: nn.Module) -> int:
    """Return the true number of parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters())


def bsconv_profile(model: nn.Module, input_shape: Sequence[int]) -> Counts:
    """Count as the BSConv library's profiler does.

    Convolutions and linear layers count their bias, normalisation two an element, nn.ReLU one,
    pools one an *input* element, every other layer nothing.

    Args:
        model: Run once in evaluation, on its own device; its mode is restored.
        input_shape: Of one image, (C, H, W).
    """
    return _count(model, input_shape, _bsconv_macs, called_only=False)


def thop_counts(model: nn.Module, input_shape: Sequence[int]) -> Counts:
    """Count as thop 0.0.31 does; later versions count differently.

    Convolutions count their bias, linear layers do not, normalisation two an element, average
    pools one an output element (adaptive ones also the elements of each mean), every other layer
    nothing. Parameters held by a module that has children are not seen, nor is a layer that is
    never called.

    Args:
        model: Run once in evaluation, on its own device; its mode is restored.
        input_shape: Of one image, (C, H, W).
    """
    return _count(model, input_shape, _thop_macs, called_only=True)


def _bsconv_macs(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    pools = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    match layer:
        case nn.Conv2d():
            places = y.shape[2] * y.shape[3]
            return places * layer.weight.numel() + (y.numel() if layer.bias is not None else 0)
        case nn.Linear():
            return layer.weight.numel() + (y.numel() if layer.bias is not None else 0)
        case nn.BatchNorm2d():
            return x.numel() * (2 if layer.affine else 1)
        case nn.ReLU():
            return y.numel()
        case _ if isinstance(layer, pools):
            return x.numel()
    return 0


def _thop_macs(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    match layer:
        case nn.Conv2d():
            per_output = layer.weight[0].numel() + (1 if layer.bias is not None else 0)
            return y.numel() * per_output
        case nn.Linear():
            return layer.weight.numel()
        case nn.BatchNorm2d():
            return 2 * x.numel()
        case nn.AdaptiveAvgPool2d():
            window = (x.shape[2] // y.shape[2]) * (x.shape[3] // y.shape[3])
            return y.numel() * (window + 1)
        case nn.AvgPool2d():
            return y.numel()
    return 0


def _count(
    model: nn.Module, input_shape: Sequence[int], rule: LayerRule, *, called_only: bool
) -> Counts:
    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    called: dict[nn.Module, int] = {}

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        called[layer] = called.get(layer, 0) + rule(layer, inputs[0], output)

    handles = [leaf.register_forward_hook(hook) for leaf in leaves]
    try:
        _run(model, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    counted = called if called_only else leaves
    params = sum(p.numel() for leaf in counted for p in leaf.parameters())
    return Counts(params=params, macs=sum(called.values()))


def layer_macs(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Return the multiply-accumulates of convolutions and matrix products of one image.

    Each is counted where it is computed: a convolution layer's under its own name, an attention
    product's under the module whose forward holds it. The sum is the network's.

    Args:
        model: Run once in evaluation, on its own device; its mode is restored.
        input_shape: Of one image, (C, H, W).

    Returns:
        Dotted module name to count, in the order of registration, without those that have none;
        the module itself is called "".
    """
    with FlopCounterMode(display=False) as counter:
        _run(model, input_shape)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    with_parts = {
        name: sum(counts.get(f"{root}.{name}" if name else root, {}).values()) // 2
        for name, _ in model.named_modules()
    }
    own = dict(with_parts)
    for name, total in with_parts.items():
        if name:
            own[name.rpartition(".")[0]] -= total
    return {name: macs for name, macs in own.items() if macs}


def _run(model: nn.Module, input_shape: Sequence[int]) -> None:
    """Run the model on one image of zeros, in evaluation."""
    tensor = next(model.parameters(), None)
    image = torch.zeros(
        1,
        *input_shape,
        device=None if tensor is None else tensor.device,
        dtype=None if tensor is None else tensor.dtype,
    )
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(image)
    finally:
        for module, training in modes:  # parents before children, so that mixed modes come back
            module.train(training)
