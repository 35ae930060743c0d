"""Names to networks: a dictionary, a decorator and the folder of families.

A family file registers builders with `architecture`; it is discovered by being in
``pfd_models/families``. Nothing else lists models.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import nn

from pfd_models import families, legacy_names, variants
from pfd_models.errors import SpecError, unknown
from pfd_models.spec import DATASETS, DatasetShape, InputSpec, ModelSpec, Option, dataset_shape
from pfd_models.variants import FeatureMapError, Variant

__all__ = [
    "Architecture",
    "Figures",
    "ParsedName",
    "architecture",
    "build_model",
    "create_model",
    "get_architecture",
    "get_spec",
    "list_models",
    "list_variants",
]

Builder: TypeAlias = Callable[[ModelSpec, Variant], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Published counts of a network, which a test recomputes.

    Attributes:
        params: Parameters.
        macs: Multiply-accumulates by `thop_counts`; None where nobody published any.
        source: Where they are published.
    """

    params: int
    macs: int | None = None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedName:
    """What a name says.

    Attributes:
        model: The canonical name: different spellings of a network share it.
        options: What the family needs to know.
    """

    model: str
    options: Mapping[str, Option]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # a registration is itself
class Architecture:
    """One registered builder.

    Attributes:
        names: The names that are listed.
        build: Makes the network.
        parse: Reads a name, in lower case; None where it is not one of this architecture's.
        datasets: The data-set shapes it is defined for.
        dataset_options: Options that a data set decides.
        normalises_input: Whether its first layer normalises the image.
        replaceable_blocks: Whether every stride-2 step goes through `Downsampling.block`.
        figures: Published counts by (name, variant, data set), for networks that are not in the
            paper; the paper's rows are in golden.json.
        source: Publication and the paper's table.
    """

    names: tuple[str, ...]
    build: Builder
    parse: Callable[[str], ParsedName | None]
    datasets: tuple[str, ...]
    dataset_options: Mapping[str, Mapping[str, Option]]
    normalises_input: bool
    replaceable_blocks: bool
    figures: Mapping[tuple[str, str, str], Figures]
    source: str


_ARCHITECTURES: dict[str, Architecture] = {}


def architecture(
    *,
    source: str,
    names: tuple[str, ...] = (),
    parse: Callable[[str], ParsedName | None] | None = None,
    datasets: tuple[str, ...] = tuple(DATASETS),
    dataset_options: Mapping[str, Mapping[str, Option]] = MappingProxyType({}),
    normalises_input: bool = False,
    replaceable_blocks: bool = False,
    figures: Mapping[tuple[str, str, str], Figures] = MappingProxyType({}),
) -> Callable[[Builder], Builder]:
    """Register a builder; see `Architecture` for what is said about it.

    Without `names` the builder's own name is the model's; without `parse` a name has no options.

    Raises:
        ValueError: A name is already registered, or `parse` does not read it as itself.
    """

    def register(build: Builder) -> Builder:
        listed = names or (build.__name__,)
        entry = Architecture(
            names=listed,
            build=build,
            parse=parse or (lambda name: _plain_name(name, listed)),
            datasets=datasets,
            dataset_options=dataset_options,
            normalises_input=normalises_input,
            replaceable_blocks=replaceable_blocks,
            figures=figures,
            source=source,
        )
        for name in listed:
            if name in _ARCHITECTURES:
                raise ValueError(f"{build.__module__}: a model {name!r} is already registered")
            parsed = entry.parse(name)
            if parsed is None or parsed.model != name:
                raise ValueError(
                    f"{build.__module__}: {name!r} is not the name of what it parses to"
                )
            _ARCHITECTURES[name] = entry
        return build

    return register


def _plain_name(name: str, listed: tuple[str, ...]) -> ParsedName | None:
    return ParsedName(model=name, options={}) if name in listed else None


def _architectures() -> Mapping[str, Architecture]:
    """Import every family file, also one added since, and return what they registered."""
    for info in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{info.name}")
    return _ARCHITECTURES


def list_models() -> tuple[str, ...]:
    """Return the listed names, sorted; parametric families build more than they list."""
    return tuple(sorted(_architectures()))


def list_variants(model: str | None = None) -> tuple[str, ...]:
    """Return the variants that exist, or those that a model has for at least one data set.

    Raises:
        SpecError: No such model.
    """
    found = variants.discover()
    if model is None:
        return tuple(found)
    entry, _, _ = _find(model)
    return tuple(
        name
        for name, variant in found.items()
        if any(variant.supports(_specify(model, name, d)) is None for d in entry.datasets)
    )


def get_architecture(name: str) -> Architecture:
    """Return the registered builder behind a name.

    Raises:
        SpecError: No such model; the line names the nearest ones.
    """
    return _find(name)[0]


def get_spec(
    name: str,
    variant: str = "ours",
    dataset: str = "cifar100",
    num_classes: int | None = None,
    resolution: int | None = None,
) -> ModelSpec:
    """Resolve names to a specification that can be built.

    Args:
        name: A listed name, one of a parametric family, or an architecture string of the
            reference repository.
        variant: Name of a variant.
        dataset: Name of a data-set shape.
        num_classes: Length of the output; None takes the data set's.
        resolution: Side of the square input in pixels; None takes the data set's.

    Raises:
        SpecError: A name is unknown, the model does not have the variant or data set, or the
            resolution is too small for its strides.
    """
    spec = _supported(_specify(name, variant, dataset, num_classes, resolution))
    with torch.device("meta"):
        _build(spec)
    return spec


def create_model(
    name: str,
    variant: str = "ours",
    dataset: str = "cifar100",
    num_classes: int | None = None,
    resolution: int | None = None,
) -> nn.Module:
    """Build a network with fresh weights; the arguments are those of `get_spec`.

    The weights come from PyTorch's global generator: seed it first to get the same again.

    Returns:
        The module, in training mode; its ``spec`` is the `ModelSpec`. It maps float images
        (N, 3, resolution, resolution) to scores (N, num_classes).

    Raises:
        SpecError: As `get_spec`.
    """
    return build_model(_specify(name, variant, dataset, num_classes, resolution))


def build_model(spec: ModelSpec) -> nn.Module:
    """Build the network that a specification describes, as `create_model` does.

    Raises:
        SpecError: As `get_spec`.
    """
    return _build(_supported(spec))


def _find(name: str) -> tuple[Architecture, ParsedName, bool | None]:
    """Return builder, parsed name and, where the name decides it, the strides."""
    lowered = name.lower()
    legacy = legacy_names.translate(lowered)
    known = _architectures()
    wanted = lowered if legacy is None else legacy.model
    for entry in dict.fromkeys(known.values()):
        if parsed := entry.parse(wanted):
            return entry, parsed, None if legacy is None else legacy.small_input
    raise SpecError(unknown("model", name, sorted(known)))


def _specify(
    name: str,
    variant: str,
    dataset: str,
    num_classes: int | None = None,
    resolution: int | None = None,
) -> ModelSpec:
    entry, parsed, small_input = _find(name)
    shape = dataset_shape(dataset)
    if shape.name not in entry.datasets:
        raise SpecError(
            f"{parsed.model} is not defined for {shape.name}; use {' or '.join(entry.datasets)}, "
            "with any resolution and number of classes"
        )
    side = shape.resolution if resolution is None else resolution
    return ModelSpec(
        model=parsed.model,
        variant=variant.lower(),
        dataset=shape.name,
        num_classes=shape.num_classes if num_classes is None else num_classes,
        input=_input(shape, side, normalised=not entry.normalises_input),
        small_input=shape.small_input if small_input is None else small_input,
        replaceable_blocks=entry.replaceable_blocks,
        options=tuple({**parsed.options, **entry.dataset_options.get(shape.name, {})}.items()),
        source=entry.source,
    )


def _input(shape: DatasetShape, side: int, *, normalised: bool) -> InputSpec:
    return InputSpec(
        height=side,
        width=side,
        mean=shape.mean if normalised else (0.0,) * len(shape.mean),
        std=shape.std if normalised else (1.0,) * len(shape.std),
    )


def _supported(spec: ModelSpec) -> ModelSpec:
    """Return the specification if its variant exists and takes it."""
    known = variants.discover()
    if spec.variant not in known:
        raise SpecError(
            unknown("variant", spec.variant, list_variants(spec.model), owner=spec.model)
        )
    reason = known[spec.variant].supports(spec)
    if reason is None:
        return spec
    relatives = _relatives_with(spec, known[spec.variant])
    others = [v for v in known if known[v].supports(spec) is None]
    hint = f"use {' or '.join(relatives)}" if relatives else f"it has {', '.join(others)}"
    raise SpecError(
        f"{spec.model} has no variant {spec.variant!r} for {spec.dataset}: {reason}; {hint}"
    )


def _relatives_with(spec: ModelSpec, variant: Variant) -> list[str]:
    """Return the models of the same family file that have the variant for the same data set."""
    home = get_architecture(spec.model).build.__module__
    return [
        name
        for name, entry in sorted(_architectures().items())
        if entry.build.__module__ == home
        and spec.dataset in entry.datasets
        and variant.supports(_specify(name, variant.name, spec.dataset)) is None
    ]


def _build(spec: ModelSpec) -> nn.Module:
    entry = get_architecture(spec.model)
    variant = variants.discover()[spec.variant]
    try:
        model = entry.build(spec, variant)
    except FeatureMapError as error:
        least = _least_resolution(spec, entry, variant)
        raise SpecError(
            f"resolution {spec.resolution} is too small for {spec.model}/{spec.variant}: {error}; "
            f"use a resolution of at least {least}"
        ) from error
    model.spec = spec  # type: ignore[assignment]  # a plain attribute, which torch's stubs do not foresee
    return model


def _least_resolution(spec: ModelSpec, entry: Architecture, variant: Variant) -> int:
    """Return the smallest resolution whose feature maps fit all kernels, by bisection."""

    def fits(side: int) -> bool:
        image = dataclasses.replace(spec.input, height=side, width=side)
        try:
            with torch.device("meta"):
                entry.build(dataclasses.replace(spec, input=image), variant)
        except FeatureMapError:
            return False
        return True

    too_small, enough = spec.resolution, 2 * spec.resolution
    while not fits(enough):
        too_small, enough = enough, 2 * enough
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if fits(middle) else (middle, enough)
    return enough
