"""The models of the padding-free downsampling paper, and the blocks they are made of.

Names are imported when they are first used, so that ``import pfd_models.errors`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pfd_models.errors import PfdError

if TYPE_CHECKING:
    from pfd_models.checkpoints.loading import load_weights
    from pfd_models.convert import (
        list_module_sites,
        to_bsconv,
        to_hybrid_stem,
        to_padding_free,
        to_paper_recipe,
    )
    from pfd_models.layers.bsconv import BSConvS, BSConvU, orthonormality_regulariser
    from pfd_models.layers.conv import ConvBNAct
    from pfd_models.layers.downsample import PaddingFreeDownsample
    from pfd_models.layers.efformer import AttentionDownsample, EmbeddingDownsample
    from pfd_models.layers.parc import ParCOperator
    from pfd_models.layers.squeeze_excite import SqueezeExcite
    from pfd_models.layers.stem import HybridStem
    from pfd_models.paper.counting import bsconv_profile, count_params, layer_macs, thop_counts
    from pfd_models.zoo.factory import (
        build_model,
        create_model,
        get_spec,
        list_sites,
        list_variants,
    )
    from pfd_models.zoo.registry import list_models
    from pfd_models.zoo.site_choice import HalvingSite
    from pfd_models.zoo.spec import DATASETS, DatasetShape, InputSpec, ModelSpec

__all__ = [
    "DATASETS",
    "AttentionDownsample",
    "BSConvS",
    "BSConvU",
    "ConvBNAct",
    "DatasetShape",
    "EmbeddingDownsample",
    "HalvingSite",
    "HybridStem",
    "InputSpec",
    "ModelSpec",
    "PaddingFreeDownsample",
    "ParCOperator",
    "PfdError",
    "SqueezeExcite",
    "bsconv_profile",
    "build_model",
    "count_params",
    "create_model",
    "get_spec",
    "layer_macs",
    "list_models",
    "list_module_sites",
    "list_sites",
    "list_variants",
    "load_weights",
    "orthonormality_regulariser",
    "thop_counts",
    "to_bsconv",
    "to_hybrid_stem",
    "to_padding_free",
    "to_paper_recipe",
]

_HOMES = {
    "checkpoints": ("load_weights",),
    "convert": (
        "list_module_sites",
        "to_bsconv",
        "to_hybrid_stem",
        "to_padding_free",
        "to_paper_recipe",
    ),
    "paper.counting": ("bsconv_profile", "count_params", "layer_macs", "thop_counts"),
    "zoo.factory": ("build_model", "create_model", "get_spec", "list_sites", "list_variants"),
    "layers.bsconv": ("BSConvS", "BSConvU", "orthonormality_regulariser"),
    "layers.conv": ("ConvBNAct",),
    "layers.downsample": ("PaddingFreeDownsample",),
    "layers.efformer": ("AttentionDownsample", "EmbeddingDownsample"),
    "layers.parc": ("ParCOperator",),
    "layers.squeeze_excite": ("SqueezeExcite",),
    "layers.stem": ("HybridStem",),
    "zoo.registry": ("list_models",),
    "zoo.site_choice": ("HalvingSite",),
    "zoo.spec": ("DATASETS", "DatasetShape", "InputSpec", "ModelSpec"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
