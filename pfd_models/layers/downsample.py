"""Padding-free downsampling: a stride-2 convolution without the outer ring of zeros.

The convolution reads only real pixels (3x3: padding 0; 5x5: padding 1, as much as it takes to
land on the same size), and a max pool of the *same input* is added to what the convolution's
stack gives, so that the pixels it no longer centres on are not lost.
Source: the padding-free downsampling paper, section on the downsampling module.
"""

from __future__ import annotations

from torch import Tensor, nn

from pfd_models.errors import SpecError

__all__ = ["PaddingFreeDownsample", "padding_free_padding", "padding_free_side"]


def padding_free_padding(kernel: int) -> int:
    """Return the padding with which a stride-2 kernel lands on the size of an unpadded 3x3.

    Args:
        kernel: Side of the kernel: 3 gives 0, 5 gives 1, 7 gives 2.

    Raises:
        SpecError: The kernel is even or smaller than 3.
    """
    if kernel < 3 or kernel % 2 == 0:
        raise SpecError(
            f"padding-free downsampling needs an odd kernel of at least 3, got {kernel}"
        )
    return (kernel - 3) // 2


def padding_free_side(side: int) -> int:
    """Return the side of the map after padding-free downsampling, (side - 3) // 2 + 1."""
    return (side - 3) // 2 + 1


class PaddingFreeDownsample(nn.Module):
    """body(x) + max pool of x, both at stride 2.

    What the body is, a bare convolution, convolution-BN or convolution-BN-activation, decides
    where the pool is added; it differs between families and no parameter count shows it.

    Args:
        body: Halves the map: contains one stride-2 convolution with `padding_free_padding`.
        pool_kernel: Side of the pool's window.
        pool_padding: Of the pool; `padding_free_padding(pool_kernel)` makes the sizes agree.
        project: Maps the pooled channels to the body's where their numbers differ.

    Shape:
        (N, C, H, W), H and W at least 3 -> (N, C', (H - 3) // 2 + 1, (W - 3) // 2 + 1), where C'
        is what body gives, and C without a projection.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        pool_kernel: int = 3,
        pool_padding: int = 0,
        project: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.pool = nn.MaxPool2d(pool_kernel, stride=2, padding=pool_padding)
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        """Add the pooled input to the body's result."""
        pooled: Tensor = self.pool(x)
        if self.project is not None:
            pooled = self.project(pooled)
        downsampled: Tensor = self.body(x)
        return downsampled + pooled
