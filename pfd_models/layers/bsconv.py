"""Blueprint separable convolutions and their regulariser.

Paper: Rethinking Depthwise Separable Convolutions: How Intra-Kernel Correlations Lead to Improved
MobileNets - https://arxiv.org/abs/2003.13549.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pfd_models.errors import SpecError

__all__ = [
    "BSConvS",
    "BSConvU",
    "OrthonormalRows",
    "orthonormality_regulariser",
    "replace_dense_convolutions",
]

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def _depthwise(
    channels: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int] | str,
    dilation: int | tuple[int, int],
    bias: bool,
    padding_mode: PaddingMode,
) -> nn.Conv2d:
    """Return the spatial half that both blueprints end with."""
    return nn.Conv2d(
        channels,
        channels,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
        bias=bias,
        padding_mode=padding_mode,
    )


class BSConvU(nn.Sequential):
    """Unconstrained blueprint: a bias-free 1x1 convolution, then a depthwise k x k.

    The depthwise convolution carries stride, padding, dilation and bias of the convolution that
    the pair stands for. The children are ``pointwise``, ``bn`` where wanted, and ``depthwise``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the depthwise convolution, as nn.Conv2d takes it.
        stride: Of the depthwise convolution.
        padding: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        bias: Whether the depthwise convolution has a bias.
        padding_mode: Of the depthwise convolution.
        with_bn: Normalise between the two.

    Shape:
        As nn.Conv2d with the same arguments.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        with_bn: bool = False,
    ) -> None:
        super().__init__()
        self.add_module("pointwise", nn.Conv2d(in_channels, out_channels, 1, bias=False))
        if with_bn:
            self.add_module("bn", nn.BatchNorm2d(out_channels))
        depthwise = _depthwise(
            out_channels, kernel_size, stride, padding, dilation, bias, padding_mode
        )
        self.add_module("depthwise", depthwise)


class BSConvS(nn.Sequential):
    """Subspace blueprint: 1x1 into a subspace, 1x1 out of it, then a depthwise k x k.

    The children are ``reduce``, ``reduce_bn``, ``expand``, ``expand_bn`` (without the two
    normalisations where `with_bn` is off) and ``depthwise``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the depthwise convolution, as nn.Conv2d takes it.
        stride: Of the depthwise convolution.
        padding: Of the depthwise convolution.
        dilation: Of the depthwise convolution.
        bias: Whether the depthwise convolution has a bias.
        padding_mode: Of the depthwise convolution.
        p: The subspace has ceil(p * in_channels) channels, in (0, 1].
        min_mid_channels: But at least so many, and never more than in_channels.
        with_bn: Normalise after each 1x1 convolution.

    Raises:
        SpecError: p is not in (0, 1].

    Shape:
        As nn.Conv2d with the same arguments.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        p: float = 0.25,
        min_mid_channels: int = 4,
        with_bn: bool = True,
    ) -> None:
        super().__init__()
        if not 0.0 < p <= 1.0:
            raise SpecError(f"BSConv-S needs a subspace share p in (0, 1], got {p}")
        mid_channels = min(in_channels, max(min_mid_channels, math.ceil(p * in_channels)))
        self.reduce = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        if with_bn:
            self.add_module("reduce_bn", nn.BatchNorm2d(mid_channels))
        self.add_module("expand", nn.Conv2d(mid_channels, out_channels, 1, bias=False))
        if with_bn:
            self.add_module("expand_bn", nn.BatchNorm2d(out_channels))
        depthwise = _depthwise(
            out_channels, kernel_size, stride, padding, dilation, bias, padding_mode
        )
        self.add_module("depthwise", depthwise)

    def orthonormal_weight(self) -> Tensor:
        """Return the (mid_channels, in_channels) weight whose rows should be orthonormal."""
        return self.reduce.weight[:, :, 0, 0]


@runtime_checkable
class OrthonormalRows(Protocol):
    """A module with a weight whose rows the regulariser keeps orthonormal."""

    def orthonormal_weight(self) -> Tensor | None:
        """Return a (rows, columns) matrix, or None where this instance has none."""
        ...


def orthonormality_regulariser(model: nn.Module) -> Tensor:
    """Return the sum over `model`'s subspace weights W of the Frobenius norm of W W^T - I.

    Args:
        model: Any module; those of its parts that are `OrthonormalRows` contribute.

    Returns:
        A scalar to be weighted (0.1 in the published recipes) and added to the loss; 0 where
        nothing contributes.
    """
    total = torch.zeros(())
    for module in model.modules():
        weight = module.orthonormal_weight() if isinstance(module, OrthonormalRows) else None
        if weight is not None:
            identity = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device)
            distance = torch.linalg.matrix_norm(weight @ weight.T - identity)
            total = total.to(distance) + distance
    return total


def replace_dense_convolutions(model: nn.Module, make: Callable[..., nn.Module]) -> None:
    """Put a blueprint in the place of every dense 3x3 and 5x5 convolution of `model`.

    1x1 and grouped convolutions stay. The new convolutions have fresh weights.

    Args:
        model: Changed in place; not itself a convolution.
        make: `BSConvU`, or `BSConvS` with its own arguments bound.
    """
    for parent in list(model.modules()):
        for name, conv in parent.named_children():
            dense = isinstance(conv, nn.Conv2d) and conv.groups == 1
            if dense and conv.kernel_size in ((3, 3), (5, 5)):
                blueprint = make(
                    conv.in_channels,
                    conv.out_channels,
                    conv.kernel_size,
                    stride=conv.stride,
                    padding=conv.padding,
                    dilation=conv.dilation,
                    bias=conv.bias is not None,
                    padding_mode=conv.padding_mode,
                )
                setattr(parent, name, blueprint)
