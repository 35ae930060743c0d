"""From names to a specification, from a specification to a network."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import nn

from pfd_models.discovery import tell_broken
from pfd_models.errors import SpecError, unknown
from pfd_models.variant_names import parse_variant
from pfd_models.variants import FeatureMapError, Variant, find_broken, load_variants
from pfd_models.variants.paper import Padded
from pfd_models.zoo.registry import Architecture, find_model, get_architecture, load_families
from pfd_models.zoo.site_choice import HalvingSite, SiteChoice, at_sites
from pfd_models.zoo.spec import DatasetShape, InputSpec, ModelSpec, dataset_shape

__all__ = ["build_model", "create_model", "get_spec", "list_sites", "list_variants"]


def list_variants(model: str | None = None) -> tuple[str, ...]:
    """Return the variants that exist, or those that a model has for at least one data set.

    Raises:
        SpecError: No such model, or a variant file cannot be used, so the list would not be whole.
    """
    if broken := find_broken():
        raise SpecError(f"not every variant can be listed: {tell_broken(broken)}")
    return tuple(load_variants()) if model is None else _variants_of(model)


def _variants_of(model: str) -> tuple[str, ...]:
    entry, _, _ = find_model(model)
    return tuple(
        name
        for name, variant in load_variants().items()
        if any(variant.supports(_specify(model, name, d)) is None for d in entry.datasets)
    )


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
        variant: Name of a variant; ``down@2,3`` is ``down`` at its second and third
            down-sampling site and padded at the others.
        dataset: Name of a data-set shape.
        num_classes: Length of the output; None takes the data set's.
        resolution: Side of the square input in pixels; None takes the data set's.

    Raises:
        SpecError: A name is unknown, the model does not have the variant or data set, or the
            resolution is too small for its strides.
    """
    spec = _require_supported(_specify(name, variant, dataset, num_classes, resolution))
    _check_buildable(spec)
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


def list_sites(
    name: str, dataset: str = "cifar100", resolution: int | None = None
) -> tuple[HalvingSite, ...]:
    """Return the down-sampling sites that ``down@2,3`` numbers, with their sides in ``orig``.

    Raises:
        SpecError: As `get_spec`.
    """
    spec = _require_supported(_specify(name, "orig", dataset, None, resolution))
    watch = SiteChoice(Padded(), ())
    variant = dataclasses.replace(_find_variant(spec), downsample=watch)
    with torch.device("meta"):
        get_architecture(spec.model).build(spec, variant)
    return tuple(watch.sites)


def build_model(spec: ModelSpec) -> nn.Module:
    """Build the network that a specification describes, as `create_model` does.

    Raises:
        SpecError: As `get_spec`.
    """
    return _build(_require_supported(spec))


def _specify(
    name: str,
    variant: str,
    dataset: str,
    num_classes: int | None = None,
    resolution: int | None = None,
) -> ModelSpec:
    entry, parsed, small_input = find_model(name)
    shape = dataset_shape(dataset)
    if shape.name not in entry.datasets:
        raise SpecError(
            f"{parsed.model} is not defined for {shape.name}; use {' or '.join(entry.datasets)}, "
            "with any resolution and number of classes"
        )
    side = shape.resolution if resolution is None else resolution
    return ModelSpec(
        model=parsed.model,
        variant=str(parse_variant(variant)),
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


def _require_supported(spec: ModelSpec) -> ModelSpec:
    """Return the specification if its variant exists and takes it."""
    known, base = load_variants(), parse_variant(spec.variant).base
    if base not in known:
        line = unknown("variant", spec.variant, _variants_of(spec.model), owner=spec.model)
        if broken := find_broken():
            line += f"; a variant file is missing here: {tell_broken(broken)}"
        raise SpecError(line)
    reason = _find_variant(spec).supports(spec)
    if reason is None:
        return spec
    relatives = _relatives_with(spec, known[base])
    others = [v for v in known if known[v].supports(spec) is None]
    hint = f"use {' or '.join(relatives)}" if relatives else f"it has {', '.join(others)}"
    raise SpecError(
        f"{spec.model} has no variant {spec.variant!r} for {spec.dataset}: {reason}; {hint}"
    )


def _find_variant(spec: ModelSpec) -> Variant:
    """Return the variant of a specification; one with sites chosen counts them, so it is new."""
    name = parse_variant(spec.variant)
    variant = load_variants()[name.base]
    return at_sites(variant, name.sites) if name.sites else variant


def _relatives_with(spec: ModelSpec, variant: Variant) -> list[str]:
    """Return the models of the same family file that have the variant for the same data set."""
    home = get_architecture(spec.model).build.__module__
    return [
        name
        for name, entry in sorted(load_families().items())
        if entry.build.__module__ == home
        and spec.dataset in entry.datasets
        and variant.supports(_specify(name, variant.name, spec.dataset)) is None
    ]


@functools.lru_cache(maxsize=1024)
def _check_buildable(spec: ModelSpec) -> None:
    """Build without memory, for the error that tells what does not fit."""
    with torch.device("meta"):
        _build(spec)


def _build(spec: ModelSpec) -> nn.Module:
    entry = get_architecture(spec.model)
    variant = _find_variant(spec)
    try:
        model = entry.build(spec, variant)
    except FeatureMapError as error:
        least = _least_resolution(spec, entry)
        large_strides = dataset_shape(spec.dataset).small_input and not spec.small_input
        instead = f"the name {spec.model} for the strides of small images, or " * large_strides
        raise SpecError(
            f"resolution {spec.resolution} is too small for {spec.model}/{spec.variant}: {error}; "
            f"use {instead}a resolution of at least {least}"
        ) from error
    if isinstance(variant.downsample, SiteChoice):
        variant.downsample.require_sites(spec.model)
    model.spec = spec  # type: ignore[assignment]  # a plain attribute, which torch's stubs do not foresee
    return model


def _least_resolution(spec: ModelSpec, entry: Architecture) -> int:
    """Return the smallest resolution whose feature maps fit all kernels, by bisection."""

    def fits(side: int) -> bool:
        image = dataclasses.replace(spec.input, height=side, width=side)
        try:
            with torch.device("meta"):
                entry.build(dataclasses.replace(spec, input=image), _find_variant(spec))
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
