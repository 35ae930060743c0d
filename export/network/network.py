"""From a request to a module that is ready to export, with what is known of it."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from export.network.batch_norm import calibrate_batchnorm, has_pristine_batchnorm
from export.network.inputs import make_inputs
from export.request.calibration import WAYS
from export.request.request import BuildRequest
from export.request.source import InputTensor, ModuleSource, ZooSource
from export.sets.files import sha256_file
from export.sets.manifest import AppInterface
from pfd_models.errors import SpecError, WeightsError
from pfd_models.plain_data import to_plain
from pfd_models.variant_names import parse_variant

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Network", "count_macs", "digest_state", "make_network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A module ready to export, with what is known of it.

    Attributes:
        module: In evaluation mode on the CPU.
        name: For the manifest: registered name or ``module:factory``.
        variant: Empty for a user's module.
        dataset: Empty for a user's module.
        inputs: What it takes, in order.
        spec: As plain data.
        stem: The file stem of the set.
        conversions: What was changed in a user's module, a line a site.
        notes: What was measured of that; decides nothing.
        app: What was put around the network for an app.
    """

    module: nn.Module
    name: str
    variant: str
    dataset: str
    inputs: tuple[InputTensor, ...]
    spec: Mapping[str, Any]
    stem: str
    conversions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    app: AppInterface | None = None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each input, batch first."""
        return tuple(tensor.shape for tensor in self.inputs)

    @property
    def batches(self) -> tuple[tuple[int, int] | None, ...]:
        """Return the least and largest batch of each input, None where it is fixed."""
        return tuple(tensor.batch for tensor in self.inputs)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the dtype of each input."""
        return tuple(tensor.dtype for tensor in self.inputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Return the name that each input has in a file, empty where the request gives none."""
        return tuple(tensor.name.replace(".", "_") for tensor in self.inputs)

    @property
    def integers_below(self) -> int:
        """Return below what integer inputs must stay: they index the smallest embedding."""
        from torch import nn

        return min(
            (m.num_embeddings for m in self.module.modules() if isinstance(m, nn.Embedding)),
            default=2,
        )


def make_network(request: BuildRequest) -> tuple[Network, str]:
    """Make the module of a request, load or seed its weights, and say where they came from.

    Returns:
        The network, and ``seed:N`` or ``sha256:...`` with what else was done.

    Raises:
        SpecError: A name is unknown, or a combination is not defined.
        ModuleError: A user's module does not import or its factory fails, its weights are not
            float32 or it has no parameter of an input's name.
        ConversionError: It cannot be made padding-free.
        WeightsError: The checkpoint cannot be read or is another network's, or a weight is NaN.
    """
    import torch

    from export.network.named_inputs import take_named_inputs
    from export.network.precision import compare_precisions, find_precision, require_float32

    torch.manual_seed(request.seed)
    source = request.source
    if isinstance(source, ZooSource):
        network = _zoo_network(source)
        network.module.eval()
        origin = _fill(network, request)
        _require_numbers(network.module)
        return network, origin
    network = _user_network(source, request.name)
    unconverted = None
    if source.to_float32 and find_precision(network.module) != torch.float32:
        unconverted = copy.deepcopy(network.module)
        network.module.float()
    require_float32(network.module)
    origin = _fill(network, request)
    _require_numbers(network.module)
    module = take_named_inputs(network.module, network.inputs)
    notes: tuple[str, ...] = ()
    if unconverted is not None:
        samples = make_inputs(
            network.shapes,
            request.seed,
            2,
            request.input_range,
            dtypes=network.dtypes,
            integers_below=network.integers_below,
        )
        named = take_named_inputs(unconverted, network.inputs)
        notes = (compare_precisions(named, module, samples),)
    return replace(network, module=module, notes=notes), origin


def _require_numbers(module: nn.Module) -> None:
    """Refuse weights that no training meant: NaN, which would be found later and unnamed."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and (count := int(tensor.isnan().sum())):
            raise WeightsError(
                f"the weight {name!r} holds NaN in {count} of its {tensor.numel()} values; give a "
                "checkpoint from before the training diverged"
            )


def _fill(network: Network, request: BuildRequest) -> str:
    """Load the request's weights or calibrate the seeded ones, and say which."""
    if request.weights is not None:
        from pfd_models import load_weights

        if request.precision == "int8" and (origin := _fill_in_integers(network, request)):
            return origin
        loaded = load_weights(network.module, request.weights, key=request.weights_key)
        told = f", {loaded.told}" if loaded.told else ""
        return f"sha256:{sha256_file(request.weights)}{told}"

    origin = f"seed:{request.seed}"
    if has_pristine_batchnorm(network.module):
        from export.network.named_inputs import take_named_inputs

        calibrate_batchnorm(
            take_named_inputs(network.module, network.inputs),
            network.shapes,
            request.seed,
            request.input_range,
            dtypes=network.dtypes,
            integers_below=network.integers_below,
        )
        origin += ", untrained, batch-norm statistics of seeded noise"
    return origin


def _fill_in_integers(network: Network, request: BuildRequest) -> str:
    """Load what a training in integers began with; return an empty text where there was none.

    What it ended with is read again where the network is quantised.

    Raises:
        SpecError: It is a float checkpoint and nothing says what to calibrate on.
        WeightsError: The training was another network's.
    """
    from pfd_models.checkpoints import load_quantized

    assert request.weights is not None
    trained = load_quantized(request.weights)
    if trained is None:
        if request.calibration is None:
            raise SpecError(
                f"{request.weights} was trained in float, so --precision int8 needs --calibration "
                f"(give {WAYS}), or a checkpoint that was trained in integers (--qat)"
            )
        return ""
    wanted = getattr(network.module, "spec", None)
    if wanted != trained.spec:
        was = f"{trained.spec.model}/{trained.spec.variant} at {trained.spec.resolution} pixels"
        raise WeightsError(
            f"{request.weights} was trained in integers for {was} and {trained.spec.num_classes} "
            f"classes, not for {network.stem}; name that network"
        )
    network.module.load_state_dict(dict(trained.start))
    return f"sha256:{sha256_file(request.weights)}, trained in integers on {trained.dataset}"


def _zoo_network(source: ZooSource) -> Network:
    from pfd_models import DATASETS, create_model, get_spec

    spec = get_spec(
        source.model, source.variant, source.dataset, source.num_classes, source.resolution
    )
    module = create_model(
        source.model, source.variant, source.dataset, source.num_classes, source.resolution
    )
    variant = parse_variant(spec.variant).file_word
    stem = f"{spec.model}_{variant}_{spec.dataset}_{spec.resolution}"
    if spec.num_classes != DATASETS[spec.dataset].num_classes:
        stem += f"_c{spec.num_classes}"
    if source.batch_range is not None:
        stem += "_b{}to{}".format(*source.batch_range)
    elif source.batch != 1:
        stem += f"_b{source.batch}"
    return Network(
        module=module,
        name=spec.model,
        variant=spec.variant,
        dataset=spec.dataset,
        inputs=(
            InputTensor(
                shape=(source.batch, spec.input.channels, spec.input.height, spec.input.width),
                batch=source.batch_range,
            ),
        ),
        spec=to_plain(spec.to_dict()),
        stem=f"{stem}_fp32",
    )


def _user_network(source: ModuleSource, name: str) -> Network:
    from export.network.plain_module import require_plain
    from export.network.user_factory import call_factory

    module = call_factory(source).eval().cpu()
    require_plain(type(module).__name__, module)
    if not name:  # the whole import path: many a project calls its factory `make` or `Net`
        name = re.sub(r"[^0-9A-Za-z]+", "_", source.target).strip("_")
    conversions: tuple[str, ...] = ()
    if source.padding_free:
        module, conversions = _apply_recipe(module, source.inputs, source.padding_free_sites)
        name += "-".join(("_pfd", *source.padding_free_sites))
    chosen = source.padding_free_sites
    sites = {"padding_free_sites": list(chosen)} if chosen else {}
    shapes = "_".join(map(_name_shape, source.inputs))
    return Network(
        module=module.eval(),
        name=source.target,
        variant="",
        dataset="",
        inputs=source.inputs,
        spec={"module": source.target, "inputs": to_plain(source.inputs), **sites},
        stem=f"{name}_{shapes}_fp32",
        conversions=conversions,
    )


def _name_shape(tensor: InputTensor) -> str:
    batch = tensor.shape[:1] if tensor.batch is None else ["{}to{}".format(*tensor.batch)]
    return "x".join(map(str, (*batch, *tensor.shape[1:])))


def _apply_recipe(
    module: nn.Module, inputs: Sequence[InputTensor], sites: tuple[str, ...]
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the module with the recipe at these sites, all if none is named, and what changed."""
    from export.network.named_inputs import take_named_inputs
    from export.network.precision import find_precision
    from pfd_models import to_paper_recipe

    named = take_named_inputs(module, inputs)
    zeros = make_zeros(inputs, find_precision(module))
    converted = to_paper_recipe(named, zeros, sites=sites or None)
    lines = (*map(str, converted.sites), *(f"left as it is: {line}" for line in converted.left))
    if named is module:
        return converted.model, lines
    # Inside the copy is the user's module, whose names the lines are to have.
    inner = converted.model.get_submodule("module")
    return inner, tuple(line.replace("module.", "", 1) for line in lines)


def make_zeros(inputs: Sequence[InputTensor], precision: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return one tensor of zeros for each input, floats in the precision of the weights."""
    import torch

    return tuple(
        torch.zeros(
            tensor.shape,
            dtype=precision if tensor.dtype == "float32" else getattr(torch, tensor.dtype),
        )
        for tensor in inputs
    )


def digest_state(module: nn.Module) -> str:
    """Return the SHA-256 over the names, types, shapes and values of parameters and buffers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def count_macs(module: nn.Module, example: Sequence[Tensor]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products for one image.

    Args:
        module: Not changed.
        example: Its inputs, batch first; their values do not matter.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        # Without gradients: the counter asks every tensor that needs one where it comes from, and
        # a view of a parameter that is made here does not know.
        copy.deepcopy(module).requires_grad_(False)(*example)
    return int(counter.get_total_flops()) // 2 // example[0].shape[0]
