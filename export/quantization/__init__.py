"""From a network in float to one in 8-bit integers, the same for every file format.

One graph is simplified (`simplify`), calibrated (`calibration`, `recipe`), given scales (`scales`)
and written with quantise and dequantise nodes (`insert`); `quantize` walks these steps. The formats
are written from that one graph, so they hold the same integers, and `integer_reference` says what
they must compute.
"""
