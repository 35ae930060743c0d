"""The last steps to a quantised ``.onnx``: integer biases, and uint8 where PyTorch writes int8.

onnxruntime runs 8-bit convolutions on uint8 activations; fed int8 it inserts conversions of its
own and leaves more than half of MobileNetV3's convolutions in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from export.sets.manifest import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from export.graph.program import Program

__all__ = [
    "STORED",
    "as_unsigned",
    "finish_quantized",
    "name_stored",
    "to_signed",
    "to_unsigned",
]

STORED = "stored_integers"
"""Key of the metadata that names the inputs and outputs which are integers standing for numbers."""

_OFFSET = 128
"""What is added to an int8 to make the uint8 that stands for the same number."""


def finish_quantized(model: ModelProto) -> None:
    """Edit a model in place; one without quantised values is left as it is."""
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        editor = _Editor(model)
        editor.store_biases()
        editor.use_unsigned()
        editor.drop_unused()


def as_unsigned(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Say of integer inputs or outputs what the file has."""
    return tuple(
        replace(spec, dtype="uint8", zero_point=spec.zero_point + _OFFSET)
        if spec.dtype == "int8" and spec.zero_point is not None
        else spec
        for spec in specs
    )


def name_stored(program: Program) -> dict[str, str]:
    """Name the inputs and outputs that are integers standing for numbers, as metadata."""
    specs = (*program.inputs, *program.outputs)
    names = [spec.name for spec in specs if spec.zero_point is not None]
    return {STORED: ",".join(names)} if names else {}


def to_unsigned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn int8 into the uint8 that stands for the same numbers."""
    return (array.astype(np.int16) + _OFFSET).astype(np.uint8)


def to_signed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn uint8 into the int8 that stands for the same numbers."""
    return (array.astype(np.int16) - _OFFSET).astype(np.int8)


class _Editor:
    def __init__(self, model: ModelProto) -> None:
        from onnx import numpy_helper

        self.graph = model.graph
        self.arrays: dict[str, np.ndarray[Any, Any]] = {
            i.name: numpy_helper.to_array(i) for i in self.graph.initializer
        }
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.unsigned: dict[str, str] = {}  # the uint8 twin of a constant

    def store_biases(self) -> None:
        """Give each quantised layer its bias as int32, in units of both scales."""
        from onnx import helper

        nodes = []
        for node in self.graph.node:
            if node.op_type in ("Conv", "Gemm") and len(node.input) == 3:
                scales = [self._scale_behind(name) for name in node.input[:2]]
                bias = self.arrays.get(node.input[2])
                if bias is not None and scales[0] is not None and scales[1] is not None:
                    step = scales[0].astype(np.float32) * scales[1].reshape(-1)
                    units = np.rint(bias.astype(np.float64) / step).astype(np.int32)
                    names = [
                        self._add(f"{node.output[0]}_bias", units),
                        self._add(f"{node.output[0]}_bias_scale", step.astype(np.float32)),
                        self._add(f"{node.output[0]}_bias_zero", np.zeros(len(step), np.int32)),
                    ]
                    read = f"{node.output[0]}_bias_read"
                    nodes.append(helper.make_node("DequantizeLinear", names, [read], axis=0))
                    node.input[2] = read
            nodes.append(node)
        self._set_nodes(nodes)

    def use_unsigned(self) -> None:
        """Turn activations and the constants they meet into uint8."""
        from onnx import TensorProto

        for node in self.graph.node:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                continue
            if self.arrays[node.input[1]].ndim or self.arrays[node.input[2]].dtype != np.int8:
                continue  # a kernel, or a bias
            if node.op_type == "DequantizeLinear" and node.input[0] in self.arrays:
                node.input[0] = self._unsigned_twin(node.input[0])
            node.input[2] = self._unsigned_twin(node.input[2])
            del node.attribute[:]  # an axis without meaning
        pairs = [n for n in self.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
        stored = {name for node in pairs for name in (node.input[0], node.output[0])}
        for info in (*self.graph.input, *self.graph.output):
            if info.name in stored and info.type.tensor_type.elem_type == TensorProto.INT8:
                info.type.tensor_type.elem_type = TensorProto.UINT8
        del self.graph.value_info[:]

    def drop_unused(self) -> None:
        """Drop the constants that nobody reads any more."""
        read = {name for node in self.graph.node for name in node.input}
        kept = [i for i in self.graph.initializer if i.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _scale_behind(self, name: str) -> np.ndarray[Any, Any] | None:
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        return self.arrays[maker.input[1]]

    def _unsigned_twin(self, name: str) -> str:
        if name not in self.unsigned:
            shifted = self.arrays[name].astype(np.int16) + _OFFSET
            self.unsigned[name] = self._add(f"{name}_unsigned", shifted.astype(np.uint8))
        return self.unsigned[name]

    def _add(self, name: str, array: np.ndarray[Any, Any]) -> str:
        from onnx import numpy_helper

        self.arrays[name] = array
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _set_nodes(self, nodes: list[NodeProto]) -> None:
        copies = []
        for node in nodes:
            copy = type(node)()
            copy.CopyFrom(node)
            copies.append(copy)
        del self.graph.node[:]
        self.graph.node.extend(copies)
