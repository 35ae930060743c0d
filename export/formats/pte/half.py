"""Half precision in XNNPACK's part of a ``.pte``: half weights, half arithmetic, float ends.

ExecuTorch lowers a half network with float32 weights for its convolutions, and its partitioner
refuses some operators in half. So the network is lowered in float32, in the same delegates, and the
description that each delegate stores is changed before it is written: its constants and the values
between its operators become half, with a conversion behind each input and before each output.
XNNPACK computes such a graph in half where the processor can, and in float32 where it cannot
(`xnn_subgraph_fallback_from_fp16_to_fp32`): one file for both.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pfd_models.errors import ModuleError

if TYPE_CHECKING:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNGraph

__all__ = ["lower_to_half", "to_half"]

_NO_HANDLE = 65535
"""ExecuTorch's own debug handle of what stands for no operator of the module."""


@contextlib.contextmanager
def lower_to_half() -> Iterator[None]:
    """Let what is lowered for XNNPACK inside compute in half; hold `_shortcuts.LOCK`."""
    from executorch.backends.xnnpack import xnnpack_preprocess as preprocess

    serialize, store = preprocess.serialize_xnnpack_binary, preprocess.NamedDataStore

    class HalfStore(store):  # type: ignore[misc, valid-type]  # a class, of a module without types
        def add_named_data(self, key: str, data: Any, *args: Any, **kwargs: Any) -> None:
            super().add_named_data(key, _round(data), *args, **kwargs)

    def serialize_half(graph: XNNGraph, constants: bytearray) -> bytes:
        data: bytes = serialize(to_half(graph), constants)
        return data

    preprocess.serialize_xnnpack_binary, preprocess.NamedDataStore = serialize_half, HalfStore
    try:
        yield
    finally:
        preprocess.serialize_xnnpack_binary, preprocess.NamedDataStore = serialize, store


def to_half(graph: XNNGraph) -> XNNGraph:
    """Return a delegate's description with half values between conversions of its ends."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema
    from executorch.backends.xnnpack.utils.xnnpack_constants import XNN_INVALID_VALUE_ID

    float32, half = schema.XNNDatatype.xnn_datatype_fp32, schema.XNNDatatype.xnn_datatype_fp16
    values = {v.xvalue_union.id_out: v.xvalue_union for v in graph.xvalues}
    ends = [i for i in (*graph.input_ids, *graph.output_ids) if values[i].datatype == float32]
    inner = dict(zip(ends, range(max(values) + 1, max(values) + 1 + len(ends)), strict=True))
    described = [values[i] for i in ends]  # as they are
    for i, value in values.items():
        if i in inner:
            value = dataclasses.replace(
                value, id_out=inner[i], external_id=XNN_INVALID_VALUE_ID, flags=0
            )
        if value.datatype == float32:
            value = dataclasses.replace(value, datatype=half)
        described.append(value)

    def convert(source: int, target: int) -> Any:
        node = schema.XNNConvert(input_id=source, output_id=target, flags=0)
        return schema.XNode(xnode_union=node, debug_handle=_NO_HANDLE)

    return dataclasses.replace(
        graph,
        xvalues=[schema.XValue(xvalue_union=value) for value in described],
        xnodes=[
            *(convert(i, inner[i]) for i in graph.input_ids if i in inner),
            *(_reconnect(node, inner) for node in graph.xnodes),
            *(convert(inner[i], i) for i in graph.output_ids if i in inner),
        ],
        constant_data=[dataclasses.replace(c, size=c.size // 2) for c in graph.constant_data],
    )


def _reconnect(node: Any, inner: dict[int, int]) -> Any:
    operator = node.xnode_union
    changes = {
        field.name: inner[getattr(operator, field.name)]
        for field in dataclasses.fields(operator)
        if field.name.endswith("_id") and getattr(operator, field.name) in inner
    }
    return dataclasses.replace(node, xnode_union=dataclasses.replace(operator, **changes))


def _round(data: bytes) -> bytes:
    wide = np.frombuffer(data, "<f4")
    with np.errstate(over="ignore"):
        half = wide.astype("<f2")
    if (np.isinf(half) & np.isfinite(wide)).any():
        raise ModuleError("a folded constant is beyond 65504, the largest half number")
    return half.tobytes()
