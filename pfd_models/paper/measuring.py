"""Count a network of the zoo by its names, once a process."""

from __future__ import annotations

import functools
import itertools
from typing import cast

import torch

from pfd_models.paper.counting import Counts, bsconv_profile, count_params, thop_counts
from pfd_models.zoo.factory import create_model
from pfd_models.zoo.spec import ModelSpec

__all__ = ["measure"]

_COUNTERS = {"bsconv_profile": bsconv_profile, "thop_0_0_31": thop_counts}


@functools.cache
def measure(
    model: str, variant: str, dataset: str, counter: str = "thop_0_0_31"
) -> tuple[int, Counts]:
    """Return a network's true number of parameters and what a counter gives.

    Args:
        model: Its name.
        variant: Name of the variant.
        dataset: Name of the data-set shape.
        counter: ``bsconv_profile`` or ``thop_0_0_31``.
    """
    with torch.device("meta"):  # counts need shapes, not values
        module = create_model(model, variant, dataset)
    # Running is another matter: without data each operator is a piece of Python, thrice as slow.
    module.to_empty(device="cpu")
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        tensor.detach().zero_()
    spec = cast(ModelSpec, module.spec)
    return count_params(module), _COUNTERS[counter](module, spec.input.shape)
