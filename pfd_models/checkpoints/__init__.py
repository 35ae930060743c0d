"""Weights in files: reading, writing, and the reference repository's names."""

from pfd_models.checkpoints.loading import LoadedWeights, load_weights, save_weights

__all__ = ["LoadedWeights", "load_weights", "save_weights"]
