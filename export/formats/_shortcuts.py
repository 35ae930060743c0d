"""Shortcuts through PyTorch and ExecuTorch: what costs time there and changes no result.

Both exporters re-trace a network many times. Everything that reaches into their internals is in
this file. It holds for the time of one export and is taken back exactly, `LOCK` keeps a second
export of the same process out meanwhile, and a test compares the bytes with and without. On other
versions than the ones it was checked with it switches itself off and says so in the log.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner
    from torch import fx
    from torch.export import ExportedProgram

__all__ = [
    "LOCK",
    "are_checked",
    "replace_method",
    "speed_up_lowering",
    "speed_up_onnx_export",
    "speed_up_tracing",
]

LOCK = threading.RLock()
"""Held while functions of torch or ExecuTorch are replaced."""

CHECKED_WITH = {"torch": "2.14", "executorch": "1.5.1", "onnxscript": "0.7"}
"""The release, or series of releases, that each shortcut was checked with."""

_log = logging.getLogger(__name__)


def are_checked(*packages: str) -> bool:
    """Whether the installed versions are the ones that the shortcuts were checked with."""
    for package in packages:
        wanted, found = CHECKED_WITH[package], metadata.version(package)
        if not f"{found.partition('+')[0]}.".startswith(f"{wanted}."):
            _log.warning(
                "no shortcuts: they were checked with %s %s, this is %s; builds take longer",
                package, wanted, found,
            )  # fmt: skip
            return False
    return True


@contextlib.contextmanager
def speed_up_tracing() -> Iterator[None]:
    """Re-trace without what is done again and again meanwhile; holds `LOCK`.

    No garbage is collected, no provenance copied, and the dispatcher lists its operators once.
    """
    with LOCK, contextlib.ExitStack() as stack:
        # Millions of live graph objects make each collection slow, and nothing here is garbage
        # that could not wait a few seconds.
        stack.enter_context(_pause_collector())
        if are_checked("torch"):
            from torch._export import utils
            from torch.fx.traceback import NodeSource

            # Where a node came from is recorded as a chain that is never changed once made, yet
            # copied in depth for every node of every re-trace.
            stack.enter_context(replace_method(NodeSource, "__deepcopy__", _return_itself))
            # Each table of decompositions has the thousand operators listed for every namespace,
            # forty times over: a tenth of a second, two or three times an export.
            materialize = functools.cache(utils._materialize_cpp_cia_ops)
            stack.enter_context(replace_method(utils, "_materialize_cpp_cia_ops", materialize))
        yield


@contextlib.contextmanager
def speed_up_onnx_export() -> Iterator[None]:
    """Export to ONNX without trying rewrites on nodes of another operator; holds `LOCK`.

    PyTorch's table of ONNX functions is made once for the operators that are registered, not once
    an export.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(speed_up_tracing())
        if are_checked("torch", "onnxscript"):
            from onnxscript.rewriter._rewrite_rule import RewriteRule
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            table = _make_once(ONNXRegistry.from_torchlib)
            stack.enter_context(replace_method(ONNXRegistry, "from_torchlib", table))
            rewrite = _try_where_possible(RewriteRule.try_rewrite)
            stack.enter_context(replace_method(RewriteRule, "try_rewrite", rewrite))
        yield


@contextlib.contextmanager
def speed_up_lowering(exported: ExportedProgram, partitioners: list[Partitioner]) -> Iterator[None]:
    """Lower without the rewrites and decompositions that cannot change anything.

    Args:
        exported: What is lowered inside.
        partitioners: With which ones; they are this lowering's own and are changed.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(speed_up_tracing())
        if are_checked("torch", "executorch"):
            from executorch.backends.xnnpack._passes import XNNPACKPassManager
            from executorch.exir import passes
            from executorch.exir.program import _program

            for partitioner in partitioners:
                _preserve_without_asking(partitioner, exported)
            transform = _transform_where_needed(XNNPACKPassManager.transform)
            stack.enter_context(replace_method(XNNPACKPassManager, "transform", transform))
            for name, matches in _MATCHES_OF_EDGE.items():
                owner = getattr(passes, name, None) or getattr(_program, name)
                call = _call_where_needed(owner.call, matches)
                stack.enter_context(replace_method(owner, "call", call))
        yield


@contextlib.contextmanager
def replace_method(owner: type | ModuleType, name: str, function: Any) -> Iterator[None]:
    """Replace a function of a class or module inside, and restore exactly what was there."""
    own = owner.__dict__.get(name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


_tables: dict[tuple[int, int], Any] = {}
"""PyTorch's tables of ONNX functions, by opset and how many operators were registered then.

An export only reads them. A table leaves out the functions of operators that are not registered
yet, as those of quantisation are not before the first int8 network.
"""


def _make_once(make: Callable[..., Any]) -> Any:
    def from_torchlib(*, opset_version: int) -> Any:
        import torch

        key = opset_version, len(torch._C._dispatch_get_all_op_names())
        if key not in _tables:
            _tables[key] = make(opset_version=opset_version)
        return _tables[key]

    return staticmethod(from_torchlib)


def _return_itself(source: Any, memo: Any) -> Any:
    return source


@contextlib.contextmanager
def _pause_collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.freeze()  # a collection that a library asks for looks at new objects only
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _preserve_without_asking(partitioner: Partitioner, exported: ExportedProgram) -> None:
    """Spare one of the three decompositions.

    A partitioner names operators to keep whole and may add a check per node. With a check,
    ExecuTorch decomposes twice, once on each side of asking it. Where the check accepts every
    such node of this graph, its answer is known, and one decomposition is enough.
    """
    operators, check = partitioner.ops_to_not_decompose(exported)
    if check is None:
        return
    kept = set(operators)
    concerned = [n for n in exported.graph.nodes if n.op == "call_function" and n.target in kept]
    if all(check(node) for node in concerned):
        partitioner.ops_to_not_decompose = lambda program: (operators, None)  # type: ignore[method-assign]  # of this instance


def _try_where_possible(try_rewrite: Callable[..., Any]) -> Any:
    """Try a rewrite rule of onnxscript only on the operator that its pattern ends in.

    A rule that does not fit is tried all the same, with what belongs to a match set up each time.
    """

    def try_where_possible(self: Any, model: Any, graph: Any, node: Any, **options: Any) -> Any:
        pattern = self._target_pattern
        if pattern.has_single_output_node:
            wanted = pattern.output_node.op_identifier()
            if wanted is not None and wanted != node.op_identifier():
                return None
        return try_rewrite(self, model, graph, node, **options)

    return try_where_possible


def _call_where_needed(call: Callable[..., Any], matches: Callable[[fx.Node], bool]) -> Any:
    """Run one of ExecuTorch's own rewrites only where it has something to match.

    It changes calls while it re-traces the graph, so where it changes none the graph is as it was.
    """

    def call_where_needed(self: Any, graph_module: fx.GraphModule) -> Any:
        from torch.fx.passes.infra.pass_base import PassResult

        if any(matches(n) for n in graph_module.graph.nodes if n.op == "call_function"):
            return call(self, graph_module)
        return PassResult(graph_module, False)

    return call_where_needed


def _transform_where_needed(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Run XNNPACK's rewrites one by one, without those that have nothing to match.

    Each re-traces the whole graph at its end, whether it changed something or not.
    """

    def transform_where_needed(manager: Any) -> Any:
        passes = manager.passes
        for each in passes:
            nodes = manager.exported_program.graph.nodes
            matches = _MATCHES.get(each.__name__)
            if matches is None or any(matches(n) for n in nodes if n.op == "call_function"):
                manager.passes = [each]
                manager._exported_program = transform(manager)
        manager.passes = passes
        return manager.exported_program

    return transform_where_needed


def _has_scalar_for_tensor(node: fx.Node) -> bool:
    import torch

    schema = getattr(node.target, "_schema", None)
    if schema is None:  # no operator
        return False
    given = [*zip(schema.arguments, node.args, strict=False)]
    given += [(a, node.kwargs[a.name]) for a in schema.arguments if a.name in node.kwargs]
    return any(
        isinstance(value, bool | int | float) and isinstance(argument.type, torch.TensorType)
        for argument, value in given
    )


def _has_symbol(node: fx.Node) -> bool:
    from torch import SymBool, SymFloat, SymInt

    return any(
        isinstance(n.meta.get("val"), SymInt | SymFloat | SymBool) for n in node.all_input_nodes
    )


def _mixes_types(node: fx.Node) -> bool:
    if _name(node) not in _PROMOTING:
        return False
    given = [getattr(arg, "meta", {}).get("val") for arg in (node, *node.args)]
    return len({getattr(value, "dtype", None) for value in given}) > 1


def _calls(*names: str) -> Callable[[fx.Node], bool]:
    return lambda node: _name(node) in names


def _name(node: object) -> str:
    return getattr(getattr(node, "target", None), "__name__", "")


_NORMS = ("aten.native_batch_norm.default", "aten._native_batch_norm_legit_no_training.default")
_LAYERS = ("aten.convolution.default", "aten.linear.default")

_MATCHES: dict[str, Callable[[Any], bool]] = {
    "DimOrderOpsRevertPass": lambda node: _name(node).startswith("dim_order_ops."),
    "ConvertToUpsampleBilinear2d": _calls("aten.upsample_bilinear2d.vec"),
    "ConvertToLinearPass": _calls("aten.mm.default", "aten.addmm.default", "aten.bmm.default"),
    "PropagateCustomMetaPass": lambda node: "quantize" in _name(node),
    "ConvertToSDPAPass": _calls("aten.where.self"),
    # It computes what has neither the input nor a weight among its arguments.
    "ConstPropPass": lambda node: all(n.op == "get_attr" for n in node.all_input_nodes),
    "FuseBatchNormPass": lambda node: _name(node) in _NORMS and _name(node.args[0]) in _LAYERS,
    "DecomposeBatchNorm": _calls(*_NORMS),
    "FuseActivationPass": _calls("aten.relu.default", "aten.hardtanh.default"),
    # XNNPACK concatenates five at most.
    "DecomposeConcatenate": lambda node: (
        _name(node) == "aten.cat.default" and len(node.args[0]) > 5
    ),
    "RemoveGetItemPass": _calls("aten.max_pool2d_with_indices.default", "aten.max.dim"),
    "Conv1dUnsqueezePass": lambda node: (
        _name(node) == "aten.convolution.default" and node.args[1].meta["val"].dim() == 3
    ),
    "PReLUReshapePass": _calls("aten._prelu_kernel.default"),
    "RemoveRedundantCopyPass": _calls("aten._to_copy.default"),
}
"""By the rewrite's name, which calls it can have anything to do with. Rewrites that are not listed
always run. Read from ExecuTorch 1.5.1's ``backends/xnnpack/_passes``."""

_PROMOTING = (
    "add.Tensor", "mul.Tensor", "sub.Tensor", "div.Tensor", "div.Tensor_mode", "minimum.default",
)  # fmt: skip

_MATCHES_OF_EDGE: dict[str, Callable[[Any], bool]] = {
    "NormalizeTransposePass": _calls("t.default"),
    "ReplaceBrokenOpsWithFunctionalOpsPass": lambda node: getattr(node.target, "is_view", False),
    "ScalarToTensorPass": _has_scalar_for_tensor,
    "SymToTensorPass": _has_symbol,
    "RemoveMixedTypeOperators": _mixes_types,
    "MemoryFormatOpsPass": _calls(
        "aten._to_copy.default", "aten.empty.memory_format", "aten.clone.default"
    ),
}
"""The same for the rewrites that make ATen calls ExecuTorch's own, in the order they run. Read from
ExecuTorch 1.5.1's ``exir/passes``."""
