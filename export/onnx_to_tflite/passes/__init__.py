"""Rewrites of the lowered graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export.onnx_to_tflite.graph import Graph
from export.onnx_to_tflite.passes.absorb_transpose import absorb_transpose
from export.onnx_to_tflite.passes.fold_affine import fold_affine
from export.onnx_to_tflite.passes.fuse_activations import fuse_activations
from export.onnx_to_tflite.passes.join_affine_pairs import join_affine_pairs
from export.onnx_to_tflite.passes.merge_moves import merge_moves
from export.onnx_to_tflite.passes.narrow_moves import narrow_moves
from export.onnx_to_tflite.passes.order_channels import order_channels
from export.onnx_to_tflite.passes.own_pads import own_pads

__all__ = ["MOVING_PASSES", "PASSES", "narrow_moves", "order_channels", "run_passes"]

#: Order is meaning: constants fold before activations fuse, because a fused one ends the fold,
#: and channels are ordered late, when only the final operators still read them; the moves that
#: remain are narrowed last, because ordering knows a shuffle by its five axes.
PASSES: tuple[Callable[[Graph], None], ...] = (
    merge_moves,
    absorb_transpose,
    own_pads,
    fold_affine,
    join_affine_pairs,
    fuse_activations,
    order_channels,
    narrow_moves,
)


#: Those that only move values: in a quantised model the arithmetic was rewritten before, and a
#: fold here would round once more than the other formats do.
MOVING_PASSES = (merge_moves, absorb_transpose, own_pads)


def run_passes(graph: Graph, passes: Sequence[Callable[[Graph], None]] = PASSES) -> None:
    """Run every pass once and drop what nobody reads any more."""
    graph.prune()
    for rewrite in passes:
        rewrite(graph)
        graph.prune()
