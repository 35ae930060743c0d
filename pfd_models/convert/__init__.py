"""Rewrites of anyone's network, site by site: padding-free downsampling, hybrid stem, BSConv."""

from pfd_models.convert.bsconv import to_bsconv
from pfd_models.convert.candidates import ModuleSite, list_module_sites
from pfd_models.convert.hybrid_stem import to_hybrid_stem, to_paper_recipe
from pfd_models.convert.padding_free import to_padding_free
from pfd_models.convert.sites import Conversion, Site

__all__ = [
    "Conversion",
    "ModuleSite",
    "Site",
    "list_module_sites",
    "to_bsconv",
    "to_hybrid_stem",
    "to_padding_free",
    "to_paper_recipe",
]
