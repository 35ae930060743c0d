"""From an exported graph to an ExecuTorch program, without the work that changes nothing.

ExecuTorch 1.5.1 re-traces a network some forty times while it lowers it; `_shortcuts` leaves out
most of that and keeps the file's bytes as they are.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.export import ExportedProgram

from export.formats._shortcuts import LOCK, speed_up_lowering
from export.formats.pte.delegation import find_leftovers
from export.formats.pte.half import lower_to_half
from export.formats.pte.open_batch import delegate_open_batch
from export.sets.manifest import Leftover

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager
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
    in_half: bool = False,
    shortcuts: bool = True,
) -> Lowered:
    """Lower a graph for the partitioners' delegates.

    Args:
        exported: In PyTorch's training dialect; not changed.
        partitioners: Of one backend, in order of preference.
        constant_methods: Methods of the file that return a constant, by name.
        in_half: Let XNNPACK's delegates compute in half precision.
        shortcuts: False lowers as ExecuTorch does by itself, slower, to the same bytes.
    """
    from executorch.exir import to_edge_transform_and_lower

    with LOCK, _refusals() as refusals:
        begin = time.perf_counter()
        quick = speed_up_lowering(exported, partitioners) if shortcuts else contextlib.nullcontext()
        half = lower_to_half() if in_half else contextlib.nullcontext()
        with quick, delegate_open_batch(), half:
            edge = to_edge_transform_and_lower(
                exported, partitioner=partitioners, constant_methods=dict(constant_methods)
            )
            middle = time.perf_counter()
            # Before the next step, which rewrites the graph in place.
            leftovers = find_leftovers(edge.exported_program(), exported, refusals)
            program = edge.to_executorch()
        seconds = {"lower": middle - begin, "to_executorch": time.perf_counter() - middle}
    return Lowered(program=program, leftovers=leftovers, seconds=seconds)


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
