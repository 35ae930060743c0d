"""`python -m export.qat`: what `python -m pfd_models.train --qat` becomes.

Fine-tunes a trained network of the zoo in the exporter's own integers; the options are those of
training.

Example:
    python -m pfd_models.train --qat --weights best.pt --dataset digits --model shufflenetv2 \
        --resolution 16
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pfd_models.train import parse, run

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train in integers, and return the exit status."""
    options = parse(arguments)
    options.qat = True
    return run(options, _prepare)


def _prepare(model: nn.Module, images: Tensor) -> nn.Module:
    from export.quantization.qat.preparation import prepare  # the exporter's passes take a second

    return prepare(model, images)


if __name__ == "__main__":
    sys.exit(main())
