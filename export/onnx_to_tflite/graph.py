"""The TFLite graph between reading and writing: tensors, operators, and how they hang together.

Tensors and operators are facts (frozen); the graph is the list of operators in execution order,
which a pass replaces by a new list. Each tensor carries its own dtype, so a quantiser can retype
one tensor without touching the operator that makes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DTYPES", "FUSABLE", "Array", "Graph", "Op", "Quantization", "Tensor"]

Array = npt.NDArray[Any]

#: Element types that a file of this converter may hold, by numpy's names.
DTYPES = ("float32", "int32", "int64", "bool", "int8", "uint8")

#: Operators whose options hold a fused activation that the XNNPACK delegate honours.
FUSABLE = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "DIV",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "MUL",
        "SUB",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantization:
    """How integers stand for numbers: number = scale * (integer - zero_point).

    Attributes:
        scale: One number, or one per index along `axis`; float32.
        zero_point: The integer that stands for zero.
        axis: Of the tensor, where the scale varies.
    """

    scale: Array
    zero_point: int
    axis: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """One tensor as TFLite stores it; compared by identity.

    Attributes:
        name: Unique in the written file (the writer numbers repeated names).
        shape: Physical shape, so (N, H, W, C) for an image.
        dtype: numpy dtype of the elements.
        data: The value of a constant, None for a computed tensor.
        quantization: What its integers stand for, None where they are no stored numbers.
        signature: The shape with -1 for the batch where the caller of the file chooses it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: Array | None = None
    quantization: Quantization | None = None
    signature: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and (
            self.data.shape != self.shape or self.data.dtype != self.dtype
        ):
            raise ValueError(
                f"constant {self.name}: data are {self.data.dtype}{self.data.shape}, "
                f"the tensor says {self.dtype}{self.shape}"
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Op:
    """One TFLite builtin operator.

    Attributes:
        kind: Name in the schema's BuiltinOperator, as ``CONV_2D``.
        inputs: Operands in the order of the kernel; None for an absent optional operand.
        outputs: Results.
        options: Fields of the operator's options table under the schema's own names
            (``strideH``, ``fusedActivationFunction``); enumerations by their names.
        name: What its results are called in the file; empty where they keep the tensors' names.
    """

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    name: str = ""

    @property
    def output(self) -> Tensor:
        """The result of a one-result operator."""
        (tensor,) = self.outputs
        return tensor

    @property
    def data_input(self) -> Tensor:
        """The first operand, which every operator here has."""
        tensor = self.inputs[0]
        if tensor is None:
            raise ValueError(f"{self.kind}: the first operand is absent")
        return tensor

    @property
    def activation(self) -> str:
        """The fused activation, ``NONE`` where there is none."""
        return str(self.options.get("fusedActivationFunction", "NONE"))

    def with_fields(self, **changes: Any) -> Op:
        """Return this operator with some fields changed."""
        return replace(self, **changes)

    def with_options(self, **options: object) -> Op:
        """Return this operator with some options changed."""
        return replace(self, options={**self.options, **options})


@dataclass(slots=True, kw_only=True)
class Graph:
    """Operators in execution order, between named inputs and outputs.

    Attributes:
        inputs: (name, tensor) in the order of the ONNX model.
        outputs: (name, tensor) in the order of the ONNX model.
        ops: Every operator after the producers of its operands.
        values: The tensor that each ONNX value was lowered to.
    """

    inputs: tuple[tuple[str, Tensor], ...]
    outputs: tuple[tuple[str, Tensor], ...]
    ops: list[Op]
    values: Mapping[str, Tensor] = field(default_factory=dict)

    def producers(self) -> dict[Tensor, Op]:
        """Map each computed tensor to the operator that makes it."""
        return {out: op for op in self.ops for out in op.outputs}

    def consumers(self) -> dict[Tensor, list[Op]]:
        """Map each tensor to the operators that read it, once per operand."""
        table: dict[Tensor, list[Op]] = {}
        for op in self.ops:
            for tensor in op.inputs:
                if tensor is not None:
                    table.setdefault(tensor, []).append(op)
        return table

    def use_counts(self) -> Counter[Tensor]:
        """Count the readers of each tensor; a graph output counts as one reader."""
        counts: Counter[Tensor] = Counter(
            tensor for op in self.ops for tensor in op.inputs if tensor is not None
        )
        counts.update(tensor for _, tensor in self.outputs)
        return counts

    def prune(self) -> None:
        """Drop the operators whose results nobody reads."""
        needed = {tensor for _, tensor in self.outputs}
        kept = []
        for op in reversed(self.ops):
            if any(out in needed for out in op.outputs):
                kept.append(op)
                needed.update(t for t in op.inputs if t is not None)
        self.ops = kept[::-1]

    def histogram(self) -> dict[str, int]:
        """Count the operators by kind, the most frequent first."""
        return dict(Counter(op.kind for op in self.ops).most_common())


def constant(name: str, data: Array | Iterable[int]) -> Tensor:
    """Make a constant tensor; a sequence of integers becomes int32."""
    array = np.ascontiguousarray(
        data if isinstance(data, np.ndarray) else np.array(list(data), np.int32)
    )
    if isinstance(data, np.ndarray):
        array = array.reshape(data.shape)  # ascontiguousarray makes 0-d arrays 1-d
    return Tensor(name=name, shape=array.shape, dtype=array.dtype, data=array)
