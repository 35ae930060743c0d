"""Join the graphs of one model for two batches into one whose batch its caller chooses.

The lowerings work on shapes of plain numbers, so a model of open batch is lowered twice, and what
differs between the two graphs is the batch. TFLite resizes its tensors from the input on; only
constants that hold a size stand in the way. In a RESHAPE the batch becomes -1, and a SLICE becomes
a STRIDED_SLICE that takes its dimension to the end. Whatever else differs cannot be said in a file.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from export.onnx_to_tflite.graph import Array, Graph, Op, Tensor, constant
from pfd_models.errors import UnsupportedOperatorError

__all__ = ["BATCHES", "fix_batch", "has_open_batch", "open_batch"]

BATCHES = (2, 3)
"""What a model is lowered for. Not one, which lowerings treat as a case of its own."""


def has_open_batch(model: onnx.ModelProto) -> bool:
    """Whether inputs have a name instead of a size for their first dimension, and only there."""
    places = [i for info in model.graph.input for i, d in enumerate(_dims(info)) if _is_open(d)]
    return bool(places) and not any(places)


def fix_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return a copy whose open first dimensions have that size; the rest is inferred from it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for info in (*copy.graph.input, *copy.graph.output):
        for dim in filter(_is_open, _dims(info)[:1]):
            dim.dim_value = batch
    return copy


def open_batch(one: Graph, other: Graph, batch: int) -> Graph:
    """Join two graphs of one model.

    Args:
        one: Lowered for ``BATCHES[0]``, passes run.
        other: The same for ``BATCHES[1]``.
        batch: What the file's tensors have until somebody resizes its inputs.

    Raises:
        UnsupportedOperatorError: An operator's constants say the batch in another way; the line
            names it.
    """
    if [(op.kind, len(op.inputs)) for op in one.ops] != [
        (op.kind, len(op.inputs)) for op in other.ops
    ]:
        raise _refuse("it has other operators for another batch")
    joined = _Joined(batch)
    inputs = tuple(
        (name, joined.computed(a, b))
        for (name, a), (_, b) in zip(one.inputs, other.inputs, strict=True)
    )
    ops = [joined.join(a, b) for a, b in zip(one.ops, other.ops, strict=True)]
    outputs = tuple(
        (name, joined.computed(a, b))
        for (name, a), (_, b) in zip(one.outputs, other.outputs, strict=True)
    )
    return Graph(inputs=inputs, outputs=outputs, ops=ops)


def _refuse(reason: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(f"no .tflite of open batch: {reason}; give one batch")


def _dims(info: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(info.type.tensor_type.shape.dim)


def _is_open(dim: onnx.TensorShapeProto.Dimension) -> bool:
    return not dim.HasField("dim_value")


class _Joined:
    """The tensors of the joined graph, by those of the first."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._tensors: dict[Tensor, Tensor] = {}

    def computed(self, one: Tensor, other: Tensor) -> Tensor:
        """A tensor of the joined graph: -1 in its signature for the size that is the batch's."""
        if one not in self._tensors:
            signature = _open(one.shape, other.shape)
            shape = [
                size if size >= 0 else before // BATCHES[0] * self._batch
                for size, before in zip(signature, one.shape, strict=True)
            ]
            self._tensors[one] = Tensor(
                name=one.name,
                shape=tuple(shape),
                dtype=one.dtype,
                signature=tuple(signature) if -1 in signature else None,
            )
        return self._tensors[one]

    def join(self, one: Op, other: Op) -> Op:
        """An operator of the joined graph."""
        operands: list[Tensor | None] = []
        kind, options = one.kind, dict(one.options)
        outputs = tuple(map(self.computed, one.outputs, other.outputs))
        if kind == "TRANSPOSE_CONV":
            raise _refuse(f"{one.name}: a transposed convolution is told its whole result's size")
        if kind == "RESHAPE":
            sizes = _open(one.output.shape, other.output.shape)
            operands, options = [None, constant("shape", sizes)], {"newShape": sizes}
        elif kind == "SLICE":
            sizes = _open(_numbers(one, 2), _numbers(other, 2))
            if -1 in sizes:
                kind, begin = "STRIDED_SLICE", _numbers(one, 1)
                end = [b + s if s >= 0 else 0 for b, s in zip(begin, sizes, strict=True)]
                options = {"endMask": sum(1 << i for i, s in enumerate(sizes) if s < 0)}
                operands = [None, *(constant(n, v) for n, v in (("begin", begin), ("end", end)))]
                operands.append(constant("strides", [1] * len(begin)))
        elif kind == "STRIDED_SLICE":
            end = _open(_numbers(one, 2), _numbers(other, 2))
            mask = sum(1 << i for i, size in enumerate(end) if size < 0)
            options["endMask"] = int(str(options.get("endMask", 0))) | mask
            operands = [None, *one.inputs[1:]]
            operands[2] = constant("end", [max(size, 0) for size in end])
        if not operands:
            operands = [
                self._operand(kind, *pair) for pair in zip(one.inputs, other.inputs, strict=True)
            ]
            if one.options != other.options:
                raise _refuse(f"{kind} has other options for another batch")
        else:
            operands[0] = self._operand(kind, one.data_input, other.data_input)
        return Op(kind=kind, inputs=tuple(operands), outputs=outputs, options=options)

    def _operand(self, kind: str, one: Tensor | None, other: Tensor | None) -> Tensor | None:
        if one is None or other is None:
            return None
        if one.data is None or other.data is None:
            return self.computed(one, other)
        if one.shape != other.shape or not np.array_equal(one.data, other.data):
            raise _refuse(f"{kind} has a constant that depends on the batch, of shape {one.shape}")
        return one


def _numbers(op: Op, index: int) -> list[int]:
    tensor = op.inputs[index]
    assert tensor is not None
    assert tensor.data is not None  # lowerings give these as constants
    data: Array = tensor.data
    return [int(number) for number in data]


def _open(one: Iterable[int], other: Iterable[int]) -> list[int]:
    """Return numbers with -1 for the one that differs.

    Raises:
        UnsupportedOperatorError: More than one does.
    """
    numbers = [a if a == b else -1 for a, b in zip(one, other, strict=True)]
    if numbers.count(-1) > 1:
        raise _refuse(f"two sizes of one tensor depend on the batch, {list(one)}")
    return numbers
