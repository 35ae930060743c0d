"""Give the tensors of a lowered graph the types that a quantised model says they have.

What computes in float gets a DEQUANTIZE in front and a QUANTIZE behind.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.onnx_to_tflite.graph import Graph, Op, Quantization, Tensor
from export.onnx_to_tflite.quantized import CHANNEL_AXIS, Stored

__all__ = ["store"]

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
        # Not those of the float lowering: whoever has a value's scale finds it by its name.
        self.names = {
            tensor: name
            for name, tensor in reversed([*graph.values.items()])
            if tensor in self.known
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
                tensor,
                name=self.names.get(tensor, tensor.name),
                dtype=np.dtype(np.int8),
                quantization=self.known[tensor],
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
