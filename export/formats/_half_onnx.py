"""Half weights in an ``.onnx``: stored in half, converted to float32 when the file is loaded.

A graph that computes in half would be no use where onnxruntime runs on a CPU: it has few half
kernels, converts around all others, and on this computer that is slower than float32. A conversion
of a constant is done once, at loading, so the file is half as large and runs as fast as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pfd_models.errors import ModuleError

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["MOST_KEPT", "store_half"]

MOST_KEPT = 16
"""Elements of a constant that is not worth a conversion and stays in float32."""


def store_half(model: ModelProto) -> None:
    """Edit a model in place. The statistics of batch norms stay: a variance may be tiny.

    Raises:
        ModuleError: A constant is beyond the largest half number.
    """
    from onnx import TensorProto, helper, numpy_helper

    norms = {
        name
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input
    }
    casts = []
    for entry in model.graph.initializer:
        array = numpy_helper.to_array(entry)
        if array.dtype != np.float32 or array.size <= MOST_KEPT or entry.name in norms:
            continue
        name, stored = entry.name, f"{entry.name}_half"
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if (np.isinf(half) & np.isfinite(array)).any():
            raise ModuleError(f"the constant {name!r} is beyond 65504, the largest half number")
        entry.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(
            helper.make_node("Cast", [stored], [name], name=f"{name}_read", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    copies = []
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        copies.append(copy)
    del model.graph.node[:]
    model.graph.node.extend(copies)
