"""Where the paper's recipe can be applied to a network, one place at a time."""

from __future__ import annotations

from export.network.named_inputs import take_named_inputs
from export.network.network import make_zeros
from export.network.precision import find_precision
from export.network.user_factory import call_factory
from export.request.source import ConvertibleSite, ModuleSource, ZooSource
from pfd_models.convert import list_module_sites, to_hybrid_stem
from pfd_models.convert.sites import size_text
from pfd_models.errors import ConversionError
from pfd_models.variant_names import STEM
from pfd_models.zoo.factory import list_sites

__all__ = ["list_convertible_sites"]


def list_convertible_sites(source: ZooSource | ModuleSource) -> tuple[ConvertibleSite, ...]:
    """Return the places of a source's network, in its order; none is converted.

    Raises:
        SpecError: A name is unknown, or a combination is not defined.
        ModuleError: A user's module does not import or its factory fails.
        ConversionError: It has no stride-2 depthwise convolution to rewrite.
    """
    if isinstance(source, ZooSource):
        return (
            ConvertibleSite(name=STEM, told="hybrid stem"),
            *(
                ConvertibleSite(
                    name=str(site.number), told=f"{site.stage}, {site.side}x{site.side}"
                )
                for site in list_sites(source.model, source.dataset, source.resolution)
            ),
        )
    module = call_factory(source).eval().cpu()
    named = take_named_inputs(module, source.inputs)
    zeros = make_zeros(source.inputs, find_precision(module))
    prefix = "" if named is module else "module."
    sites = tuple(
        ConvertibleSite(
            name=str(site.number),
            told=f"{' and '.join(name.removeprefix(prefix) for name in site.names)}, "
            f"{size_text(site.input_shape[-2:])}",
        )
        for site in list_module_sites(named, zeros)
    )
    try:
        stem = to_hybrid_stem(named, zeros)
    except ConversionError:  # it begins in another way: its stem stays, as with --padding-free
        return sites
    told = f"hybrid stem, {stem.sites[0].name.removeprefix(prefix)}"
    return (ConvertibleSite(name=STEM, told=told), *sites)
