"""From a PyTorch module to verified mobile artifacts."""
