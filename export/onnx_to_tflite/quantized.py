"""Quantised models: from QuantizeLinear and DequantizeLinear to 8-bit tensors.

Before lowering, `collapse` takes the pairs out of the model and notes scale and zero point of each
value, so that the float lowerings and passes do what they always do. After them, `storing.store`
gives the tensors their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import numpy_helper

from export.onnx_to_tflite.graph import Array, Graph, Quantization, Tensor

__all__ = ["CHANNEL_AXIS", "Stored", "attach_scales", "collapse"]

#: What ONNX calls a value's zero point in uint8, TFLite calls this much less in int8.
UNSIGNED_OFFSET = 128
#: The axis of a kernel that runs over output channels.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a quantised model says of its values, by ONNX name.

    Attributes:
        values: Scale and zero point of computed values and of constant operands.
        weights: Scale per output channel of the constants that are kernels.
        integer: Inputs and outputs that the caller feeds or reads as integers.
    """

    values: Mapping[str, Quantization] = field(default_factory=dict)
    weights: Mapping[str, Array] = field(default_factory=dict)
    integer: frozenset[str] = frozenset()

    @property
    def non_negative(self) -> frozenset[str]:
        """Names of the values that cannot be negative: their zero is the lowest integer."""
        return frozenset(n for n, q in self.values.items() if q.zero_point == -UNSIGNED_OFFSET)


def collapse(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Stored]:
    """Return the model without its pairs, and what they said; the model itself if it has none.

    Stored constants become float ones that hold the same whole numbers.
    """
    if not any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        return model, Stored()
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    collapser = _Collapser(plain)
    collapser.run()
    return plain, Stored(
        values=collapser.values,
        weights=collapser.weights,
        integer=frozenset(collapser.integer),
    )


class _Collapser:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {i.name: i for i in self.graph.initializer}
        self.values: dict[str, Quantization] = {}
        self.weights: dict[str, Array] = {}
        self.integer: set[str] = set()
        self.names: dict[str, str] = {}  # what a value is called from now on

    def run(self) -> None:
        self._split_makers()
        outputs = {o.name for o in self.graph.output}
        for node in self.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.output[0] in outputs:
                self._name_source(node, outputs)
        kept = []
        for node in self.graph.node:
            if node.op_type == "QuantizeLinear":
                self._note(node, node.input[0])
            elif node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                self._read_constant(node)
            elif node.op_type == "DequantizeLinear":
                self._note(node, node.input[0])
            else:
                kept.append(node)
        for node in kept:
            node.input[:] = [self._name(name) for name in node.input]
            node.output[:] = [self._name(name) for name in node.output]
        self.values = {self._name(name): q for name, q in self.values.items()}
        makers = {name for node in kept for name in node.output}
        kept += [  # two outputs of one value
            onnx.helper.make_node("Identity", [self._name(name)], [name], f"copy_{name}")
            for name in sorted(outputs - makers)
            if name in self.names
        ]
        del self.graph.node[:]
        self.graph.node.extend(kept)
        del self.graph.value_info[:]
        for info in (*self.graph.input, *self.graph.output):
            kind = info.type.tensor_type
            is_whole = kind.elem_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
            if is_whole and info.name in self.values:
                kind.elem_type = onnx.TensorProto.FLOAT
                self.integer.add(info.name)

    def _split_makers(self) -> None:
        """Compute a value once for each pair of scale and zero point that it is stored with.

        Tools that find equal calls compute them once and store the value twice; a tensor has one.
        """
        makers = {n.output[0]: n for n in self.graph.node if len(n.output) == 1}
        stored: dict[str, dict[tuple[bytes, int], str]] = {}  # value, its numbers, a name for each
        for node in self.graph.node:
            if node.op_type == "QuantizeLinear" and (source := node.input[0]) in makers:
                scale, zero_point = self._numbers(node)
                names = stored.setdefault(source, {})
                own = f"{source}_{len(names)}" if names else source
                node.input[0] = names.setdefault((scale.tobytes(), zero_point), own)
        nodes = []
        for node in self.graph.node:
            nodes.append(node)
            for name in list(stored.get(node.output[0], {}).values())[1:]:
                twin = onnx.NodeProto()
                twin.CopyFrom(node)
                twin.name, twin.output[0] = name, name
                nodes.append(twin)
        if len(nodes) > len(self.graph.node):
            del self.graph.node[:]
            self.graph.node.extend(nodes)

    def _name_source(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        """Let the value that an output is made of have the output's name."""
        makers = {name: n for n in self.graph.node for name in n.output}
        source = node.input[0]
        while (
            source not in outputs
            and source in makers
            and makers[source].op_type in ("QuantizeLinear", "DequantizeLinear")
        ):
            source = makers[source].input[0]
        if source in makers and source not in outputs:
            self.names[source] = node.output[0]

    def _name(self, name: str) -> str:
        while name in self.names:
            name = self.names[name]
        return name

    def _note(self, node: onnx.NodeProto, source: str) -> None:
        scale, zero_point = self._numbers(node)
        self.values[source] = Quantization(scale=scale.reshape(1), zero_point=zero_point)
        if self._name(source) != node.output[0]:  # an output keeps its name
            self.names[node.output[0]] = source

    def _read_constant(self, node: onnx.NodeProto) -> None:
        scale, zero_point = self._numbers(node)
        entry = self.constants[node.input[0]]
        data = numpy_helper.to_array(entry)
        if data.dtype == np.uint8:
            data = data.astype(np.int32) - UNSIGNED_OFFSET
        name = node.output[0]
        self.graph.initializer.append(numpy_helper.from_array(data.astype(np.float32), name))
        if scale.ndim:
            self.weights[name] = scale
        else:
            self.values[name] = Quantization(scale=scale.reshape(1), zero_point=zero_point)

    def _numbers(self, node: onnx.NodeProto) -> tuple[Array, int]:
        scale = numpy_helper.to_array(self.constants[node.input[1]])
        if len(node.input) < 3 or not node.input[2]:
            return scale, 0
        zero = numpy_helper.to_array(self.constants[node.input[2]])
        number = int(zero.reshape(-1)[0])
        return scale, number - UNSIGNED_OFFSET if zero.dtype == np.uint8 else number


def attach_scales(graph: Graph, stored: Stored) -> None:
    """Tell the kernels their scales, before a pass reorders output channels."""
    changed: dict[Tensor, Tensor] = {}
    for op in graph.ops:
        kernel = op.inputs[1] if op.kind in CHANNEL_AXIS else None
        if kernel is not None and kernel.name in stored.weights:
            scale = stored.weights[kernel.name]
            axis = CHANNEL_AXIS[op.kind]
            known = Quantization(scale=scale, zero_point=0, axis=axis)
            changed[kernel] = replace(kernel, quantization=known)
    graph.ops = [
        op.with_fields(inputs=tuple(None if t is None else changed.get(t, t) for t in op.inputs))
        for op in graph.ops
    ]
