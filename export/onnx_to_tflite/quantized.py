"""Quantised models: from QuantizeLinear and DequantizeLinear to 8-bit tensors.

Before lowering, `collapse` takes the pairs out of the model and notes scale and zero point of each
value, so that the float lowerings and passes do what they always do. After them, `store` gives the
tensors their types, and puts DEQUANTIZE and QUANTIZE around what computes in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import numpy_helper

from export.onnx_to_tflite.graph import Array, Graph, Op, Quantization, Tensor

__all__ = ["Stored", "attach_scales", "collapse", "store"]

#: What ONNX calls a value's zero point in uint8, TFLite calls this much less in int8.
UNSIGNED_OFFSET = 128
#: They compute in integers where all their tensors are stored as such.
INTEGER = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN", "MUL"})
#: They move elements: their result has the scale of their operands.
MOVES = frozenset(
    {
        "CONCATENATION",
        "MAX_POOL_2D",
        "PAD",
        "RESHAPE",
        "SLICE",
        "STRIDED_SLICE",
        "TRANSPOSE",
    }
)
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
        del self.graph.node[:]
        self.graph.node.extend(kept)
        del self.graph.value_info[:]
        for info in (*self.graph.input, *self.graph.output):
            kind = info.type.tensor_type
            if kind.elem_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8):
                kind.elem_type = onnx.TensorProto.FLOAT
                self.integer.add(info.name)

    def _name_source(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        """Let the value that an output is made of have the output's name."""
        makers = {name: n for n in self.graph.node for name in n.output}
        source = node.input[0]
        while source in makers and makers[source].op_type in ("QuantizeLinear", "DequantizeLinear"):
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


def store(graph: Graph, stored: Stored) -> None:
    """Give the tensors of a graph the types that a quantised model says they have.

    Inputs and outputs stay float, with a QUANTIZE and a DEQUANTIZE, unless they are `integer`.
    """
    if stored.values:
        _Storer(graph, stored).run()


class _Storer:
    def __init__(self, graph: Graph, stored: Stored) -> None:
        self.graph, self.stored = graph, stored
        self.known = {
            tensor: stored.values[name]
            for name, tensor in graph.values.items()
            if name in stored.values and tensor.data is None
        }
        self._spread()
        self.ops: list[Op] = []
        self.small: dict[Tensor, Tensor] = {}  # the 8-bit twin of a float tensor
        self.wide: dict[Tensor, Tensor] = {}  # its float form behind a DEQUANTIZE

    def run(self) -> None:
        graph = self.graph
        inputs = []
        for name, tensor in graph.inputs:
            if tensor in self.known and name in self.stored.integer:
                inputs.append((name, self._small(tensor)))
                continue
            inputs.append((name, tensor))
            if tensor in self.known:
                self._convert("QUANTIZE", tensor, self._small(tensor))
        for op in graph.ops:
            if self._is_integer(op):
                self._write_integer(op)
            else:
                self._write_float(op)
        graph.inputs = tuple(inputs)
        graph.outputs = tuple(
            (name, self._small(t) if name in self.stored.integer else self._wide(t))
            for name, t in graph.outputs
        )
        graph.ops = self.ops

    def _spread(self) -> None:
        """Let moves hand on what is known of their operands or of their result."""
        changed = True
        while changed:
            changed = False
            for op in (*self.graph.ops, *reversed(self.graph.ops)):
                if op.kind not in MOVES:
                    continue
                tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
                moved = [t for t in tensors if t.data is None]
                known = next((self.known[t] for t in moved if t in self.known), None)
                for tensor in moved:
                    if known is not None and tensor not in self.known:
                        self.known[tensor] = known
                        changed = True

    def _is_integer(self, op: Op) -> bool:
        """Whether an operator computes on integers here as it does in the other formats."""
        tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
        computed = [t for t in tensors if t.data is None]
        if op.kind not in INTEGER | MOVES or any(t not in self.known for t in computed):
            return False
        if op.kind in MOVES and len({_numbers(self.known[t]) for t in computed}) > 1:
            return False  # a float operator that this converter makes of a move
        if op.kind in CHANNEL_AXIS:
            kernel = op.inputs[1]
            return kernel is not None and kernel.quantization is not None
        if op.kind == "MEAN":
            return _is_global(op)
        constants = [t for t in tensors if t.data is not None and t.dtype == np.float32]
        return all(t.name in self.stored.values for t in constants) and len(set(tensors)) == len(
            tensors
        )

    def _write_integer(self, op: Op) -> None:
        inputs: list[Tensor | None] = []
        for place, tensor in enumerate(op.inputs):
            if tensor is None or tensor.data is None:
                inputs.append(None if tensor is None else self._small(tensor))
            elif op.kind in CHANNEL_AXIS and place == 1:
                inputs.append(_as_int8(tensor, tensor.quantization))
            elif op.kind in CHANNEL_AXIS:
                inputs.append(self._bias(op, tensor))
            elif tensor.dtype == np.float32:
                inputs.append(_as_int8(tensor, self.stored.values.get(tensor.name)))
            else:
                inputs.append(tensor)
        outputs = tuple(map(self._small, op.outputs))
        self.ops.append(op.with_fields(inputs=tuple(inputs), outputs=outputs))

    def _write_float(self, op: Op) -> None:
        inputs = tuple(None if t is None else self._wide(t) for t in op.inputs)
        self.ops.append(op.with_fields(inputs=inputs))
        for tensor in op.outputs:
            if tensor in self.known:
                self._convert("QUANTIZE", tensor, self._small(tensor))

    def _small(self, tensor: Tensor) -> Tensor:
        if tensor not in self.small:
            self.small[tensor] = replace(
                tensor, dtype=np.dtype(np.int8), quantization=self.known[tensor]
            )
        return self.small[tensor]

    def _wide(self, tensor: Tensor) -> Tensor:
        if tensor not in self.known:
            return tensor
        if tensor not in self.wide:
            self.wide[tensor] = replace(tensor, name=f"{tensor.name};float")
            self._convert("DEQUANTIZE", self._small(tensor), self.wide[tensor])
        return self.wide[tensor]

    def _convert(self, kind: str, source: Tensor, target: Tensor) -> None:
        self.ops.append(Op(kind=kind, inputs=(source,), outputs=(target,)))

    def _bias(self, op: Op, tensor: Tensor) -> Tensor:
        kernel, source = op.inputs[1], self.known[op.data_input]
        if tensor.data is None or kernel is None or kernel.quantization is None:
            raise ValueError(f"{op.kind} {op.output.name}: a stored layer without stored weights")
        scale = source.scale * kernel.quantization.scale
        units = tensor.data.astype(np.int32)
        known = Quantization(scale=scale, zero_point=0)
        return replace(tensor, dtype=units.dtype, data=units, quantization=known)


def _numbers(known: Quantization) -> tuple[float, int]:
    return float(known.scale[0]), known.zero_point


def _is_global(op: Op) -> bool:
    """Whether a MEAN is over rows and columns, the only one with integers in every format."""
    axes = op.inputs[1]
    spatial = axes is not None and axes.data is not None and axes.data.tolist() == [1, 2]
    return spatial and len(op.data_input.shape) == 4


def _as_int8(tensor: Tensor, known: Quantization | None) -> Tensor:
    if tensor.data is None or known is None:
        raise ValueError(f"{tensor.name}: a float constant among stored tensors")
    data = tensor.data.astype(np.int8)
    return replace(tensor, dtype=data.dtype, data=data, quantization=known)
