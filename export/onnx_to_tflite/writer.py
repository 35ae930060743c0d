"""Write a graph as a TFLite flatbuffer with the official schema bindings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.onnx_to_tflite.graph import Graph, Op, Tensor
from export.onnx_to_tflite.versions import version
from pfd_models.errors import UnsupportedOperatorError

__all__ = ["ALIGNMENT", "write"]

#: Bytes that a constant's address is a multiple of, as the schema demands (force_align: 16).
ALIGNMENT = 16
FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
#: A flatbuffer's offsets are signed 32-bit numbers; a little is left for the tables.
MOST_BYTES = 2**31 - 2**24

#: Options table of each operator whose fields a lowering sets.
OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}

#: Fields that hold an enumeration, which options give by name.
ENUMERATIONS = {
    "fusedActivationFunction": schema.ActivationFunctionType,
    "mode": schema.MirrorPadMode,
    "outputType": schema.TensorType,
    "padding": schema.Padding,
    "weightsFormat": schema.FullyConnectedOptionsWeightsFormat,
}

#: numpy dtypes to the schema's element types.
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


class AlignedBuffer(schema.BufferT):  # type: ignore[misc] # the generated bindings are untyped
    """A buffer whose bytes start at a multiple of sixteen.

    The generated Python bindings ignore the schema's ``force_align``.
    """

    def Pack(self, builder: Any) -> int:  # the bindings' own name
        """Write the bytes, then the table that points to them."""
        vector = None
        if self.data is not None:
            payload = self.data.tobytes()
            builder.StartVector(1, len(payload), ALIGNMENT)
            head = builder.head - len(payload)
            builder.head = head
            builder.Bytes[head : head + len(payload)] = payload
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class _Tables:
    """The model's numbered tables while they fill: buffers, tensors, operator codes."""

    def __init__(self) -> None:
        self.buffers: list[Any] = [AlignedBuffer()]  # buffer 0 is empty by convention
        self.tensors: list[Any] = []
        self.codes: list[Any] = []
        self.payload = 0
        self._tensor_index: dict[Tensor, int] = {}
        self._code_index: dict[tuple[str, int], int] = {}
        self._constants: dict[tuple[str, bytes], int] = {}
        self._names: Counter[str] = Counter()

    def buffer(self, data: np.ndarray[Any, Any]) -> int:
        raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        entry = AlignedBuffer()
        entry.data = raw
        self.buffers.append(entry)
        self.payload += raw.size + ALIGNMENT
        return len(self.buffers) - 1

    def tensor(self, tensor: Tensor, name: str = "") -> int:
        """Return a tensor's number; it is called `name` or, where that is empty, as it says."""
        if tensor in self._tensor_index:
            return self._tensor_index[tensor]
        small = None
        data = tensor.data if tensor.quantization is None else None
        if data is not None and data.nbytes <= SHARED_CONSTANT_BYTES:
            small = (f"{tensor.dtype}{tensor.shape}", data.tobytes())
            if small in self._constants:
                self._tensor_index[tensor] = self._constants[small]
                return self._constants[small]
        entry = schema.TensorT()
        entry.name = self._unique(name or tensor.name)
        entry.shape = list(tensor.shape)
        entry.shapeSignature = None if tensor.signature is None else list(tensor.signature)
        entry.type = TYPES[tensor.dtype]
        entry.buffer = 0 if tensor.data is None else self.buffer(tensor.data)
        entry.quantization = _quantization(tensor)
        self.tensors.append(entry)
        index = len(self.tensors) - 1
        self._tensor_index[tensor] = index
        if small is not None:
            self._constants[small] = index
        return index

    def code(self, kind: str, number: int) -> int:
        key = (kind, number)
        if key not in self._code_index:
            entry = schema.OperatorCodeT()
            entry.builtinCode = getattr(schema.BuiltinOperator, kind)
            # Readers of before 2020 know only this field, a signed byte.
            entry.deprecatedBuiltinCode = min(entry.builtinCode, 127)
            entry.version = number
            self.codes.append(entry)
            self._code_index[key] = len(self.codes) - 1
        return self._code_index[key]

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        count = self._names[name]
        return name if count == 1 else self._unique(f"{name}_{count}")


def _quantization(tensor: Tensor) -> Any:
    """What the schema says of a tensor of integers that stand for numbers."""
    known = tensor.quantization
    if known is None or tensor.dtype == np.float32:
        return None
    entry = schema.QuantizationParametersT()
    entry.scale = known.scale.astype(np.float32)
    entry.zeroPoint = np.full(known.scale.shape, known.zero_point, np.int64)
    entry.quantizedDimension = known.axis
    return entry


#: Constants up to this size are stored once when equal, as axes and shapes often are.
SHARED_CONSTANT_BYTES = 64


def _options(op: Op) -> tuple[int, Any]:
    """Fill the options table of an operator; a field the schema does not have is an error."""
    if op.kind not in OPTIONS:
        if op.options:
            raise KeyError(f"{op.kind}: no options table is known for {sorted(op.options)}")
        return 0, None
    name = OPTIONS[op.kind]
    table = getattr(schema, f"{name}T")()
    for field, value in op.options.items():
        if not hasattr(table, field):
            raise KeyError(f"{op.kind}: {name} has no field {field!r}")
        enumeration = ENUMERATIONS.get(field)
        setattr(table, field, value if enumeration is None else getattr(enumeration, str(value)))
    return getattr(schema.BuiltinOptions, name), table


def _operator(op: Op, tables: _Tables) -> Any:
    entry = schema.OperatorT()
    entry.opcodeIndex = tables.code(op.kind, version(op))
    entry.inputs = [-1 if t is None else tables.tensor(t) for t in op.inputs]
    # What was lowered has names made up on the way; those of stored values are looked for.
    entry.outputs = [tables.tensor(t, op.name if ";" in t.name else "") for t in op.outputs]
    entry.builtinOptionsType, entry.builtinOptions = _options(op)
    return entry


def _signature(graph: Graph, tables: _Tables) -> Any:
    """Name inputs and outputs as ONNX does; quantisers refuse a file without a signature."""

    def maps(pairs: tuple[tuple[str, Tensor], ...]) -> list[Any]:
        entries = []
        for name, tensor in pairs:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, tables.tensor(tensor)
            entries.append(entry)
        return entries

    signature = schema.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.inputs, signature.outputs = maps(graph.inputs), maps(graph.outputs)
    return signature


def write(graph: Graph, *, metadata: Mapping[str, str | bytes], description: str) -> bytes:
    """Write a graph.

    Args:
        graph: Operators in execution order.
        metadata: Entries of the file's metadata table; text is stored as UTF-8.
        description: The model's free text.

    Returns:
        The flatbuffer, identifier ``TFL3``, schema version 3, constants at multiples of 16 bytes.

    Raises:
        UnsupportedOperatorError: The constants are too large for a flatbuffer's 32-bit offsets.
    """
    size = sum(
        t.data.nbytes for op in graph.ops for t in op.inputs if t is not None and t.data is not None
    )
    if size > MOST_BYTES:
        raise UnsupportedOperatorError(
            f"the constants take {size / 2**30:.1f} GiB, a .tflite file holds less than 2 GiB"
        )
    tables = _Tables()
    subgraph = schema.SubGraphT()
    subgraph.name = "main"
    subgraph.inputs = [tables.tensor(t) for _, t in graph.inputs]
    subgraph.operators = [_operator(op, tables) for op in graph.ops]
    subgraph.outputs = [tables.tensor(t) for _, t in graph.outputs]
    subgraph.tensors = tables.tensors
    model = schema.ModelT()
    model.version = SCHEMA_VERSION
    model.description = description
    model.subgraphs = [subgraph]
    model.operatorCodes = tables.codes
    model.signatureDefs = [_signature(graph, tables)]
    model.metadata = []
    for name, content in metadata.items():
        entry = schema.MetadataT()
        entry.name = name
        raw = content.encode() if isinstance(content, str) else content
        entry.buffer = tables.buffer(np.frombuffer(raw, np.uint8))
        model.metadata.append(entry)
    model.buffers = tables.buffers
    builder = flatbuffers.Builder(tables.payload + 256 * len(tables.tensors) + 4096)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
