"""Small .tflite files, a chain of named operators, for tests of what reads any file."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SHAPE = (1, 8, 8, 4)  # of the image that goes through the chain


def make_file(*kinds: str, shape: tuple[int, ...] = SHAPE) -> bytes:
    """Return a file whose operators are these, one after the other, each fed by the last.

    Tensors are called ``image``, then after the operators in lower case and their place.
    """
    chain = _Chain(shape)
    for kind in kinds:
        chain.add(kind)
    return chain.finish()


class _Chain:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = "main", [], []
        self.model.subgraphs = [self.graph]
        self.shape = shape
        self.last = self.tensor("image", shape)
        self.graph.inputs = [self.last]

    def tensor(self, name: str, shape: Any, data: Any = None, dtype: Any = np.float32) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.buffer = name.encode(), list(shape), 0
        one.type = {
            np.float32: schema.TensorType.FLOAT32,
            np.int32: schema.TensorType.INT32,
            np.bool_: schema.TensorType.BOOL,
            np.int64: schema.TensorType.INT64,
        }[dtype]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            one.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(one)
        return len(self.graph.tensors) - 1

    def constant(self, data: Any, dtype: Any = np.float32) -> int:
        array = np.asarray(data, dtype)
        return self.tensor(f"constant_{len(self.graph.tensors)}", array.shape, array, dtype)

    def operator(
        self, kind: str, inputs: list[int], shape: Any, options: Any = None, dtype: Any = np.float32
    ) -> None:
        number = getattr(schema.BuiltinOperator, kind)
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        self.model.operatorCodes.append(code)
        one = schema.OperatorT()
        one.opcodeIndex = len(self.model.operatorCodes) - 1
        name = f"{kind.lower()}_{len(self.graph.operators)}"
        self.last = self.tensor(name, shape, dtype=dtype)
        one.inputs, one.outputs = inputs, [self.last]
        if options is not None:
            union = type(options).__name__.removesuffix("T")
            one.builtinOptionsType = getattr(schema.BuiltinOptions, union)
            one.builtinOptions = options
        self.graph.operators.append(one)
        self.shape = tuple(shape)

    def add(self, kind: str) -> None:
        make = getattr(self, f"add_{kind.lower()}", None)
        if make is not None:
            make()
        else:  # of one input, elementwise, no options
            self.operator(kind, [self.last], self.shape)

    def finish(self) -> bytes:
        self.graph.outputs = [self.last]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # -- operators with more than one input, or options --------------------------------------

    def add_conv_2d(self) -> None:
        n, h, w, c = self.shape
        weights = np.random.default_rng(0).normal(size=(c, 3, 3, c)).astype(np.float32) / 6
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
        options.dilationHFactor = options.dilationWFactor = 1
        inputs = [self.last, self.constant(weights), self.constant(np.zeros(c))]
        self.operator("CONV_2D", inputs, (n, h - 2, w - 2, c), options)

    def add_pad(self) -> None:
        n, h, w, c = self.shape
        pads = self.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
        inputs, shape = [self.last, pads], (n, h + 2, w + 2, c)
        self.operator("PAD", inputs, shape, schema.PadOptionsT())

    def add_padv2(self) -> None:
        n, h, w, c = self.shape
        pads = self.constant([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
        inputs, shape = [self.last, pads, self.constant(2.0)], (n, h + 2, w + 2, c)
        self.operator("PADV2", inputs, shape, schema.PadV2OptionsT())

    def add_reshape(self) -> None:
        """Give the channels an axis of two in front, as a channel shuffle does."""
        n, h, w, c = self.shape
        shape = (n, h, w, 2, c // 2)
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        self.operator("RESHAPE", [self.last, self.constant(shape, np.int32)], shape, options)

    def add_transpose(self) -> None:
        order = (*range(len(self.shape) - 2), len(self.shape) - 1, len(self.shape) - 2)
        inputs = [self.last, self.constant(order, np.int32)]
        self.operator(
            "TRANSPOSE", inputs, [self.shape[i] for i in order], schema.TransposeOptionsT()
        )

    def add_cumsum(self) -> None:
        inputs = [self.last, self.constant(3, np.int32)]
        self.operator("CUMSUM", inputs, self.shape, schema.CumsumOptionsT())

    def add_reverse_v2(self) -> None:
        self.operator("REVERSE_V2", [self.last, self.constant([1], np.int32)], self.shape)

    def add_floor_mod(self) -> None:
        self.operator("FLOOR_MOD", [self.last, self.constant(0.3)], self.shape)

    def add_atan2(self) -> None:
        self.operator("ATAN2", [self.last, self.constant(np.full(self.shape, 0.3))], self.shape)

    def add_topk_v2(self) -> None:
        raise NotImplementedError
