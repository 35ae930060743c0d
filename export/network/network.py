"""From a request to a module that is ready to export, with what is known of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.network.batch_norm import calibrate_batchnorm, has_pristine_batchnorm
from export.request.request import BuildRequest
from export.request.source import ModuleSource, ZooSource
from export.sets.files import sha256_file
from pfd_models.plain_data import to_plain

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Network", "count_macs", "make_network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A module ready to export, with what is known of it.

    Attributes:
        module: In evaluation mode on the CPU.
        name: For the manifest: registered name or ``module:factory``.
        variant: Empty for a user's module.
        dataset: Empty for a user's module.
        shapes: Of the inputs, batch first.
        spec: As plain data.
        stem: The file stem of the set.
        conversions: What was changed in a user's module, a line a site.
    """

    module: nn.Module
    name: str
    variant: str
    dataset: str
    shapes: tuple[tuple[int, ...], ...]
    spec: Mapping[str, Any]
    stem: str
    conversions: tuple[str, ...] = ()


def make_network(request: BuildRequest) -> tuple[Network, str]:
    """Make the module of a request, load or seed its weights, and say where they came from.

    Returns:
        The network, and ``seed:N`` or ``sha256:...`` with what else was done.

    Raises:
        SpecError: A name is unknown, or a combination is not defined.
        ModuleError: A user's module does not import or its factory fails.
        ConversionError: It cannot be made padding-free.
        WeightsError: The checkpoint cannot be read or is another network's.
    """
    import torch

    torch.manual_seed(request.seed)
    source = request.source
    network = _zoo_network(source) if isinstance(source, ZooSource) else _user_network(source)
    module = network.module.eval().cpu()
    if request.weights is not None:
        from pfd_models import load_weights

        load_weights(module, request.weights)
        return network, f"sha256:{sha256_file(request.weights)}"

    origin = f"seed:{request.seed}"
    if has_pristine_batchnorm(module):
        calibrate_batchnorm(module, network.shapes, request.seed, request.input_range)
        origin += ", untrained, batch-norm statistics of seeded noise"
    return network, origin


def _zoo_network(source: ZooSource) -> Network:
    from pfd_models import DATASETS, create_model, get_spec

    spec = get_spec(
        source.model, source.variant, source.dataset, source.num_classes, source.resolution
    )
    module = create_model(
        source.model, source.variant, source.dataset, source.num_classes, source.resolution
    )
    stem = f"{spec.model}_{spec.variant}_{spec.dataset}_{spec.resolution}"
    if spec.num_classes != DATASETS[spec.dataset].num_classes:
        stem += f"_c{spec.num_classes}"
    if source.batch != 1:
        stem += f"_b{source.batch}"
    return Network(
        module=module,
        name=spec.model,
        variant=spec.variant,
        dataset=spec.dataset,
        shapes=((source.batch, spec.input.channels, spec.input.height, spec.input.width),),
        spec=to_plain(spec.to_dict()),
        stem=f"{stem}_fp32",
    )


def _user_network(source: ModuleSource) -> Network:
    import torch

    from export.network.plain_module import require_plain
    from export.network.user_factory import call_factory

    module = call_factory(source).eval().cpu()
    require_plain(type(module).__name__, module)
    name = source.target.replace(":", ".").rpartition(".")[2]
    conversions: tuple[str, ...] = ()
    if source.padding_free:
        from pfd_models import to_padding_free

        converted = to_padding_free(module, torch.zeros(source.input_shapes[0]))
        module, conversions = converted.model.eval(), tuple(str(s) for s in converted.sites)
        name += "_pfd"
    shape = "x".join(map(str, source.input_shapes[0]))
    return Network(
        module=module,
        name=source.target,
        variant="",
        dataset="",
        shapes=source.input_shapes,
        spec={"module": source.target, "input_shapes": to_plain(source.input_shapes)},
        stem=f"{name}_{shape}_fp32",
        conversions=conversions,
    )


def count_macs(network: Network) -> int:
    """Count the multiply-accumulates of convolutions and matrix products for one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        copy.deepcopy(network.module)(*(torch.zeros(shape) for shape in network.shapes))
    return int(counter.get_total_flops()) // 2 // network.shapes[0][0]
