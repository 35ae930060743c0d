"""Rewrites of the lowered graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from export.onnx_to_tflite.graph import Graph
from export.onnx_to_tflite.passes.absorb_transpose import absorb_transpose
from export.onnx_to_tflite.passes.fold_affine import fold_affine
from export.onnx_to_tflite.passes.fuse_activations import fuse_activations
from export.onnx_to_tflite.passes.join_affine_pairs import join_affine_pairs
from export.onnx_to_tflite.passes.merge_moves import merge_moves
from export.onnx_to_tflite.passes.order_channels import order_channels
from export.onnx_to_tflite.passes.own_pads import own_pads

__all__ = ["PASSES", "run_passes"]

#: Order is meaning: constants fold before activations fuse, because a fused one ends the fold,
#: and channels are ordered last, when only the final operators still read them.
PASSES: tuple[Callable[[Graph], None], ...] = (
    merge_moves,
    absorb_transpose,
    own_pads,
    fold_affine,
    join_affine_pairs,
    fuse_activations,
    order_channels,
)


def run_passes(graph: Graph) -> None:
    """Run every pass once and drop what nobody reads any more."""
    graph.prune()
    for rewrite in PASSES:
        rewrite(graph)
        graph.prune()
