"""Rewrites of anyone's network, site by site: padding-free downsampling and BSConv."""

from pfd_models.convert.bsconv import to_bsconv
from pfd_models.convert.padding_free import to_padding_free
from pfd_models.convert.sites import Conversion, Site

__all__ = ["Conversion", "Site", "to_bsconv", "to_padding_free"]
