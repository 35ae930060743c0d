"""From an exported graph to an ExecuTorch program, without the work that changes nothing.

ExecuTorch 1.5.1 re-traces a network some thirty times while it lowers it. Four shortcuts keep
the file's bytes as they are (a test compares) and halve the time; each gives its reason.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.export import ExportedProgram

from export.formats._tracing import LOCK, replace_method, speed_up_tracing
from export.formats.pte.delegation import find_leftovers
from export.sets.manifest import Leftover

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager, ExecutorchProgramManager
    from executorch.exir.backend.partitioner import Partitioner

__all__ = ["Lowered", "lower"]

_PARTITION_LOG = "executorch.backends.xnnpack.partition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """What lowering made.

    Attributes:
        program: Ready to be written.
        leftovers: What stayed outside the delegates.
        seconds: Wall seconds of each step.
    """

    program: ExecutorchProgramManager
    leftovers: tuple[Leftover, ...]
    seconds: Mapping[str, float]


def lower(
    exported: ExportedProgram,
    partitioners: list[Partitioner],
    constant_methods: Mapping[str, Any],
    *,
    shortcuts: bool = True,
) -> Lowered:
    """Lower a graph for the partitioners' delegates.

    Args:
        exported: In PyTorch's training dialect; not changed.
        partitioners: Of one backend, in order of preference.
        constant_methods: Methods of the file that return a constant, by name.
        shortcuts: False lowers as ExecuTorch does by itself, slower, to the same bytes.
    """
    with LOCK, _refusals() as refusals:
        begin = time.perf_counter()
        with _shortcuts() if shortcuts else contextlib.nullcontext():
            edge = _to_edge(exported, partitioners, constant_methods, shortcuts)
            middle = time.perf_counter()
            # Before the next step, which rewrites the graph in place.
            leftovers = find_leftovers(edge.exported_program(), exported, refusals)
            program = edge.to_executorch()
        seconds = {"lower": middle - begin, "to_executorch": time.perf_counter() - middle}
    return Lowered(program=program, leftovers=leftovers, seconds=seconds)


def _to_edge(
    exported: ExportedProgram,
    partitioners: list[Partitioner],
    constant_methods: Mapping[str, Any],
    shortcuts: bool,
) -> EdgeProgramManager:
    from executorch.exir import to_edge_transform_and_lower

    if shortcuts:
        for partitioner in partitioners:
            _preserve_without_asking(partitioner, exported)
    return to_edge_transform_and_lower(
        exported, partitioner=partitioners, constant_methods=dict(constant_methods)
    )


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


@contextlib.contextmanager
def _shortcuts() -> Iterator[None]:
    """Leave out, for the time of one lowering, what only costs time."""
    from executorch.backends.xnnpack._passes import ConvertToSDPAPass, ConvertToUpsampleBilinear2d

    with contextlib.ExitStack() as stack:
        stack.enter_context(speed_up_tracing())
        # The two passes look for a pattern that they first have to export themselves. Each
        # contains an operator without which it cannot match.
        for skipped, needed in (
            (ConvertToSDPAPass, "aten.where.self"),
            (ConvertToUpsampleBilinear2d, "aten.upsample_bilinear2d.vec"),
        ):
            stack.enter_context(replace_method(skipped, "call", _only_with(needed, skipped.call)))
        yield


def _only_with(needed: str, call: Any) -> Any:
    def call_if_needed(self: Any, graph_module: Any) -> Any:
        from torch.fx.passes.infra.pass_base import PassResult

        names = {getattr(node.target, "__name__", "") for node in graph_module.graph.nodes}
        if any(name.endswith(needed) for name in names):
            return call(self, graph_module)
        return PassResult(graph_module, False)

    return call_if_needed


@contextlib.contextmanager
def _refusals() -> Iterator[dict[str, str]]:
    """Collect the reasons that XNNPACK's partitioner gives to its debug log."""
    reasons: dict[str, str] = {}

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            node, reason = getattr(record.msg, "node", None), getattr(record.msg, "reason", "")
            if node is not None and reason:
                reasons[node.name] = str(reason)

    logger = logging.getLogger(_PARTITION_LOG)
    handler, level, propagate = Collector(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield reasons
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
