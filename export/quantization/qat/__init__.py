"""Quantisation-aware training: the exporter's own integers, with gradients.

`kernels` has the arithmetic of each operator, `network` runs a simplified graph with it.
"""
