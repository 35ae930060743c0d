"""What a lowering function works with: read ONNX values, emit TFLite operators, bind results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.onnx_to_tflite.graph import DTYPES, FUSABLE, Array, Op, Tensor, constant
from export.onnx_to_tflite.layout import (
    NHWC,
    Order,
    identity,
    is_same_memory,
    permutation,
    physical_shape,
    transpose_constant,
)
from export.onnx_to_tflite.reader import Node, OnnxGraph, refuse

__all__ = ["Builder", "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An ONNX value as it lies in a TFLite tensor.

    Attributes:
        tensor: Physical tensor.
        order: ONNX axis at each physical position.
    """

    tensor: Tensor
    order: Order


class Builder:
    """The graph while it grows, one ONNX node after the other."""

    def __init__(
        self,
        onnx_graph: OnnxGraph,
        *,
        wants_nhwc: Callable[[str], bool],
        non_negative: frozenset[str] = frozenset(),
    ) -> None:
        self.onnx_graph = onnx_graph
        self.ops: list[Op] = []
        self.wants_nhwc = wants_nhwc
        self.non_negative = non_negative  # values that are known to be so
        self.node: Node | None = None  # the one being lowered
        self._values: dict[str, Value] = {}
        self._reordered: dict[tuple[str, Order], Tensor] = {}
        self._producers: dict[Tensor, Op] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Static shape of a value in ONNX's axis order."""
        return self.onnx_graph.shapes[name]

    def const(self, name: str) -> Array | None:
        """Value of a constant, None for a computed value or an absent input."""
        return self.onnx_graph.constants.get(name)

    def need_const(self, node: Node, index: int, what: str) -> Array:
        """Value of an input that TFLite takes as a constant.

        Raises:
            UnsupportedOperatorError: The input is computed at run time.
        """
        value = self.const(node.input(index))
        if value is None:
            raise refuse(node, f"{what} must be a constant, it is computed at run time")
        return value

    def ints(self, node: Node, index: int, attribute: str) -> tuple[int, ...] | None:
        """Integers that older opsets keep in an attribute and newer ones in an input."""
        if attribute in node.attrs:
            return tuple(int(v) for v in node.attrs[attribute])
        if not node.input(index):
            return None
        return tuple(int(v) for v in self.need_const(node, index, attribute).reshape(-1))

    def value(self, name: str) -> Value:
        """A value in the order it has; a constant becomes a tensor in ONNX's order."""
        if name not in self._values:
            data = self.onnx_graph.constants[name]
            if self.node is not None and data.dtype.name not in DTYPES:
                raise refuse(self.node, f"the constant {name!r} is {data.dtype}")
            self._values[name] = Value(
                tensor=constant(name, data),
                order=identity(data.ndim),
            )
        return self._values[name]

    def tensor(self, name: str, order: Order | None = None) -> Tensor:
        """A value in the wanted order (ONNX's own by default), transposed if it lies otherwise."""
        shape = self.shape(name)
        wanted = identity(len(shape)) if order is None else order
        value = self.value(name)
        if value.order == wanted:
            return value.tensor
        key = (name, wanted)
        if key not in self._reordered:
            self._reordered[key] = self.reorder(value.tensor, shape, value.order, wanted)
        return self._reordered[key]

    def nhwc(self, name: str) -> Tensor:
        """A four-dimensional value as (N, H, W, C)."""
        return self.tensor(name, NHWC)

    def reorder(self, tensor: Tensor, shape: Sequence[int], source: Order, target: Order) -> Tensor:
        """Bring a tensor from one order to another, by RESHAPE where no element moves."""
        if source == target:
            return tensor
        if tensor.data is not None:
            return constant(
                tensor.name, transpose_constant(tensor.data, permutation(source, target))
            )
        if is_same_memory(shape, source, target):
            return self.reshape(tensor, physical_shape(shape, target))
        return self.transpose(tensor, permutation(source, target))

    def bind(self, name: str, tensor: Tensor, order: Order | None = None) -> None:
        """Say which tensor holds an ONNX value, and in which order (ONNX's own by default)."""
        shape = self.shape(name)
        order = identity(len(shape)) if order is None else order
        if tensor.shape != physical_shape(shape, order):
            raise RuntimeError(
                f"lowering of {name}: tensor {tensor.shape} in order {order} is not {shape}"
            )
        if tensor.dtype != self.onnx_graph.dtypes.get(name, tensor.dtype):
            raise RuntimeError(
                f"lowering of {name}: tensor {tensor.dtype} is not {self.onnx_graph.dtypes[name]}"
            )
        self._values[name] = Value(tensor=tensor, order=order)

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shape: Iterable[int],
        options: Mapping[str, object] | None = None,
        dtype: Any = None,
    ) -> Tensor:
        """Append an operator with one result of the given physical shape.

        Its element type is that of the first operand unless another is given.
        """
        first = next(t for t in inputs if t is not None)
        (out,) = self.emit_many(kind, inputs, [(shape, dtype or first.dtype)], options)
        return out

    def emit_many(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        results: Sequence[tuple[Iterable[int], Any]],
        options: Mapping[str, object] | None = None,
    ) -> tuple[Tensor, ...]:
        """Append an operator with a result for each physical shape and element type."""
        first = next(t for t in inputs if t is not None)
        outs = []
        for shape, dtype in results:
            sizes = tuple(int(d) for d in shape)
            if self.node is not None and len(sizes) > MOST_AXES:
                raise refuse(self.node, f"{len(sizes)} axes, the kernels take at most {MOST_AXES}")
            name = f"{first.name.split(';')[0]};{kind.lower()}"
            outs.append(Tensor(name=name, shape=sizes, dtype=np.dtype(dtype)))
        op = Op(
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(outs),
            options=dict(options or {}),
            name=self._name(kind),
        )
        self.ops.append(op)
        self._producers.update(dict.fromkeys(outs, op))
        return op.outputs

    def _name(self, kind: str) -> str:
        """Name an operator after the module of the node being lowered."""
        place = self.node.name.rpartition("/")[0] if self.node is not None else ""
        return f"{place}/{kind.lower()}" if place else kind.lower()

    def tensors(self) -> dict[str, Tensor]:
        """The tensor of each ONNX value that was lowered."""
        return {name: value.tensor for name, value in self._values.items()}

    def producer(self, tensor: Tensor) -> Op | None:
        """The operator that makes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def number(self, like: Tensor, value: float) -> Tensor:
        """Make a scalar constant of the type of another tensor."""
        return constant("number", np.array(value, like.dtype))

    def cast(self, tensor: Tensor, dtype: Any) -> Tensor:
        """CAST, or nothing where the type is the same; a constant is cast here.

        Back from a type that holds every value, it is the tensor that was cast: ONNX counts in
        int64, which TFLite's TOPK_V2 does not and GPUs do not have.
        """
        if tensor.dtype == np.dtype(dtype):
            return tensor
        before = self.producer(tensor)
        if before is not None and before.kind == "CAST":
            source = before.data_input
            if source.dtype == np.dtype(dtype) and np.can_cast(source.dtype, tensor.dtype):
                return source
        if tensor.data is not None:
            return constant(tensor.name, tensor.data.astype(dtype))
        return self.emit("CAST", [tensor], tensor.shape, dtype=dtype)

    def const_tensor(self, name: str, data: Any, dtype: Any = np.float32) -> Tensor:
        """Make a constant operand."""
        return constant(name, np.array(data, dtype))

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """RESHAPE, or nothing where the shape is the same; a constant is reshaped here."""
        if tuple(shape) == tensor.shape:
            return tensor
        if tensor.data is not None:
            return constant(tensor.name, tensor.data.reshape(tuple(shape)))
        target = constant("shape", shape)
        return self.emit("RESHAPE", [tensor, target], shape, {"newShape": list(shape)})

    def transpose(self, tensor: Tensor, perm: Sequence[int]) -> Tensor:
        """TRANSPOSE, or nothing for the identity."""
        if tuple(perm) == identity(len(perm)):
            return tensor
        shape = physical_shape(tensor.shape, tuple(perm))
        return self.emit("TRANSPOSE", [tensor, constant("perm", perm)], shape)

    def pad(self, tensor: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
        """PAD with zeros, (before, after) for each physical axis, or nothing where all are zero."""
        if not any(before or after for before, after in pads):
            return tensor
        shape = [d + before + after for d, (before, after) in zip(tensor.shape, pads, strict=True)]
        return self.emit("PAD", [tensor, constant("pads", np.array(pads, np.int32))], shape)

    def slice(self, tensor: Tensor, axis: int, start: int, size: int) -> Tensor:
        """SLICE of a physical axis, or nothing where all of it is taken; a constant is cut here."""
        if start == 0 and size == tensor.shape[axis]:
            return tensor
        if tensor.data is not None:
            part = np.take(tensor.data, range(start, start + size), axis=axis)
            return constant(tensor.name, np.ascontiguousarray(part))
        begin = [0] * len(tensor.shape)
        sizes = list(tensor.shape)
        begin[axis], sizes[axis] = start, size
        return self.emit(
            "SLICE", [tensor, constant("begin", begin), constant("size", sizes)], sizes
        )

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """CONCATENATION along a physical axis; more than four operands are nested.

        The XNNPACK delegate of LiteRT 2.3 takes two to five operands, that of tflite-runtime 2.14
        up to four; longer ones go to the built-in kernel, which would split the delegate.
        """
        tensors = list(tensors)
        while len(tensors) > MAX_CONCAT:
            tensors = [
                self.concat(tensors[i : i + MAX_CONCAT], axis)
                for i in range(0, len(tensors), MAX_CONCAT)
            ]
        if len(tensors) == 1:
            return tensors[0]
        shape = list(tensors[0].shape)
        shape[axis] = sum(t.shape[axis] for t in tensors)
        options = {"axis": axis, "fusedActivationFunction": "NONE"}
        return self.emit("CONCATENATION", tensors, shape, options)

    def binary(self, kind: str, left: Tensor, right: Tensor) -> Tensor:
        """An elementwise operator of two operands of one type, with broadcasting."""
        if left.dtype != right.dtype:
            raise RuntimeError(f"{kind} of {left.dtype} and {right.dtype}")
        if kind in FOLDED and left.data is not None and right.data is not None:
            return constant(left.name, np.asarray(FOLDED[kind](left.data, right.data)))
        shape = np.broadcast_shapes(left.shape, right.shape)
        options = {"fusedActivationFunction": "NONE"} if kind in FUSABLE else {}
        dtype = np.bool_ if kind in COMPARISONS else left.dtype
        return self.emit(kind, [left, right], shape, options, dtype)

    def unary(
        self, kind: str, tensor: Tensor, options: Mapping[str, object] | None = None
    ) -> Tensor:
        """An elementwise operator of one operand."""
        if kind in FOLDED and tensor.data is not None:
            return constant(tensor.name, np.asarray(FOLDED[kind](tensor.data)))
        return self.emit(kind, [tensor], tensor.shape, options)


#: What is computed here where every operand is a constant.
FOLDED: Mapping[str, Callable[..., Array]] = {
    "ADD": np.add,
    "FLOOR": np.floor,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "ROUND": np.rint,
    "SUB": np.subtract,
}
#: Operators of two operands whose result is boolean.
COMPARISONS = frozenset({"EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"})
#: Most axes of a tensor inside the XNNPACK delegate, which fails on more instead of declining them.
MOST_AXES = 6
#: Most operands of one CONCATENATION that the XNNPACK delegates of 2.14 and 2.3 both take.
MAX_CONCAT = 4
