"""Weights in files: reading, writing, and the reference repository's names."""

from pfd_models.checkpoints.loading import LoadedWeights, load_weights, save_weights
from pfd_models.checkpoints.quantized import QuantizedWeights, load_quantized, save_quantized

__all__ = [
    "LoadedWeights",
    "QuantizedWeights",
    "load_quantized",
    "load_weights",
    "save_quantized",
    "save_weights",
]
