"""A .tflite written by hand, operator by operator, with the schema's object interface."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FLOAT32, INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT32


class TinyTflite:
    """One graph; tensors and operators are known by their numbers."""

    def __init__(self):
        self.model = schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[])
        self.graph = schema.SubGraphT(tensors=[], operators=[])

    def tensor(self, name, shape, data=None, kind=FLOAT32):
        buffer = 0
        if data is not None:
            raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(schema.BufferT(data=raw))
            buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(
            schema.TensorT(name=name, shape=np.array(shape, np.int32), type=kind, buffer=buffer)
        )
        return len(self.graph.tensors) - 1

    def operator(self, code, options, inputs, output):
        kinds = [c.builtinCode for c in self.model.operatorCodes]
        if code not in kinds:
            old = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
            self.model.operatorCodes.append(
                schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=old, version=1)
            )
            kinds.append(code)
        kind = type(options).__name__.removesuffix("T")
        self.graph.operators.append(
            schema.OperatorT(
                opcodeIndex=kinds.index(code),
                inputs=np.array(inputs, np.int32),
                outputs=np.array([output], np.int32),
                builtinOptionsType=getattr(schema.BuiltinOptions, kind),
                builtinOptions=options,
            )
        )
        return output

    def convolution(self, name, source, weight, shape, stride=1, bias=None):
        """Add one without padding, with a ReLU; the weight is (out, height, width, in)."""
        bias = np.zeros(weight.shape[0], np.float32) if bias is None else bias
        w = self.tensor(f"{name}/w", weight.shape, weight)
        b = self.tensor(f"{name}/b", bias.shape, bias)
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.VALID,
            strideW=stride,
            strideH=stride,
            dilationWFactor=1,
            dilationHFactor=1,
            fusedActivationFunction=schema.ActivationFunctionType.RELU,
        )
        code = schema.BuiltinOperator.CONV_2D
        return self.operator(code, options, [source, w, b], self.tensor(name, shape))

    def content(self, source, result):
        """Return the file, with one input, one output and one signature."""
        self.graph.inputs = np.array([source], np.int32)
        self.graph.outputs = np.array([result], np.int32)
        self.model.subgraphs = [self.graph]
        self.model.signatureDefs = [
            schema.SignatureDefT(
                inputs=[schema.TensorMapT(name="image", tensorIndex=source)],
                outputs=[schema.TensorMapT(name="scores", tensorIndex=result)],
                signatureKey="serving_default",
                subgraphIndex=0,
            )
        ]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
