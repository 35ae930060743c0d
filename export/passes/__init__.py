"""Graph rewrites: each file one, in the order of `PASSES`.

A pass is a module with ``rewrite(graph) -> int``: it edits the graph in place and returns how
often it fired. Its name is its file's name, its docstring gives the reason and the algebra.
The rewritten network goes into every file format alike.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from export.graph.aliasing import owns_memory
from export.graph.module_paths import keep_module_paths
from export.graph.program import Program
from export.passes import (
    broadcast_expands,
    concatenate_pads,
    concatenate_repeats,
    convert_before_moves,
    copy_repeated_inputs,
    decompose_adaptive_pools,
    decompose_attention,
    decompose_elu,
    decompose_group_norm,
    decompose_hardsigmoid,
    decompose_layer_norm,
    decompose_log_softmax,
    decompose_nearest,
    decompose_prelu,
    decompose_softplus,
    decompose_tanh_gelu,
    decompose_unfold,
    decompose_variance,
    expand_powers,
    flatten_matmuls,
    flatten_softmax,
    fold_batch_norms,
    fold_constants,
    fold_normalisation,
    functionalize_mutations,
    keep_mean_dims,
    multiply_alpha,
    pad_average_pools,
    pool_maxima,
    reduce_by_product,
    remove_noops,
    reshape_squeezes,
    slice_chunks,
    slice_rolls,
    unroll_recurrence,
    unstride_slices,
    use_float_scalars,
)
from export.sets.manifest import PassRecord

__all__ = ["PASSES", "drop_unused_state", "max_rewrite_error", "run_passes"]

PASSES: tuple[ModuleType, ...] = (
    functionalize_mutations,   # first: the others move values freely
    unroll_recurrence,         # before fold_constants: first states are mostly zeros
    fold_constants,            # before the rest spends rewrites on what is constant anyway
    remove_noops,
    convert_before_moves,      # before fold_normalisation, which begins with floats
    fold_batch_norms,          # nothing stands between a layer and its norm any more
    fold_normalisation,        # after fold_constants, which computes its numbers
    # Moving values about.
    decompose_nearest,
    decompose_unfold,
    slice_rolls,
    slice_chunks,
    unstride_slices,
    reshape_squeezes,
    concatenate_repeats,
    concatenate_pads,
    copy_repeated_inputs,      # after the passes that concatenate a tensor with itself
    # Arithmetic.
    decompose_adaptive_pools,
    pad_average_pools,
    decompose_hardsigmoid,
    decompose_tanh_gelu,
    decompose_elu,
    decompose_prelu,
    decompose_softplus,
    decompose_log_softmax,
    expand_powers,
    multiply_alpha,
    decompose_layer_norm,
    decompose_group_norm,
    decompose_variance,
    pool_maxima,
    keep_mean_dims,            # before reduce_by_product: what it takes needs no product
    reduce_by_product,
    decompose_attention,       # makes softmax and bmm on rank three, which the next two leave alone
    flatten_matmuls,
    flatten_softmax,
    broadcast_expands,
    use_float_scalars,         # last: constants of the module itself
)  # fmt: skip


_MOST_TIES = 0.01
"""Share of whole numbers that a rewrite may change; a file's are held to the module's own."""


def run_passes(program: Program, passes: tuple[ModuleType, ...] = PASSES) -> Program:
    """Rewrite the captured graph for the delegates and export it again, once.

    Args:
        program: As `capture` returned it.
        passes: Which passes, in order.

    Returns:
        A new program with a `PassRecord` per pass; the same exported graph where none fired.
    """
    start = time.perf_counter()
    module = program.module()
    module.graph.eliminate_dead_code()
    records = [_run(p, module) for p in passes]
    if functionalize_mutations in passes and functionalize_mutations.has_mutations(module.graph):
        # A write into memory that another value shares: PyTorch's own functionalisation
        # re-traces the whole graph and knows every view.
        module = program.exported.run_decompositions({}).module(check_guards=False)  # type: ignore[assignment]
        records = [_run(p, module) for p in passes]
    exported = program.exported
    if any(record.rewrites for record in records):
        drop_unused_state(module)
        module.graph.lint()
        module.recompile()
        with torch.no_grad():
            exported = torch.export.export(module, program.example, strict=False)
        keep_module_paths(module.graph, exported.graph)
    if fold_constants in passes:
        _check_ownership(exported)
    return dataclasses.replace(
        program,
        exported=exported,
        passes=(*program.passes, *records),
        seconds={**program.seconds, "passes": time.perf_counter() - start},
    )


def max_rewrite_error(
    before: Program, after: Program, samples: Sequence[Sequence[Tensor]]
) -> float:
    """Return how far a rewritten program is from its original in eager mode.

    Args:
        before: The program as captured.
        after: The same program after passes.
        samples: Each a tensor per input.

    Returns:
        max |after - before| / max |before|, worst over samples and outputs; 0.0 means bit-equal
        and infinity that values are not finite, or many not equal where they are no floats.
    """
    worst = 0.0
    original, rewritten = before.module(), after.module()
    for sample in samples:
        with torch.no_grad():
            pairs = zip(
                tree_leaves(original(*sample)), tree_leaves(rewritten(*sample)), strict=True
            )
            worst = max(worst, *(_relative_error(old, new) for old, new in pairs))
    return worst


def _relative_error(old: Tensor, new: Tensor) -> float:
    if old.dtype == new.dtype and torch.equal(old, new):
        return 0.0
    if old.shape != new.shape or old.dtype != new.dtype:
        return math.inf
    if not old.is_floating_point():  # a few places of a maximum hang on the last digit
        return math.inf if float((old != new).double().mean()) > _MOST_TIES else 0.0
    error = float((new - old).abs().max()) / max(float(old.abs().max()), 1e-30)
    return error if error < math.inf else math.inf  # NaN counts as infinity


def _run(rewrite: ModuleType, module: fx.GraphModule) -> PassRecord:
    before = len(module.graph.nodes)
    rewrites = rewrite.rewrite(module.graph)
    module.graph.eliminate_dead_code()
    return PassRecord(
        name=rewrite.__name__.rpartition(".")[2],
        rewrites=rewrites,
        nodes_before=before,
        nodes_after=len(module.graph.nodes),
    )


def _check_ownership(exported: ExportedProgram) -> None:
    """Hold every constant to what ``.pte`` needs: its storage is written from the beginning."""
    for name, tensor in {**exported.state_dict, **exported.constants}.items():
        assert not isinstance(tensor, Tensor) or owns_memory(tensor), name


def drop_unused_state(module: fx.GraphModule) -> None:
    """Delete parameters and buffers that no node reads any more, or files would carry them."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    buffers = dict(module.named_buffers(remove_duplicate=False))
    for name in (parameters.keys() | buffers.keys()) - read:
        owner, _, leaf = name.rpartition(".")
        delattr(module.get_submodule(owner), leaf)
