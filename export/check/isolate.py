"""One operator of a .tflite file as a file of its own."""

from __future__ import annotations

from typing import Any

from export.onnx_to_tflite.listing import read_numbers

__all__ = ["isolate", "kind_key"]


def isolate(content: bytes, index: int) -> bytes:
    """Return a file with one operator of the first subgraph; what it reads are its inputs.

    Args:
        content: The whole file.
        index: The operator's place.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    operator = graph.operators[index]
    code = model.operatorCodes[operator.opcodeIndex]
    buffers: list[Any] = [schema.BufferT()]
    tensors: list[Any] = []
    places: dict[int, int] = {}
    inputs: list[int] = []
    read, made = (read_numbers(vector) for vector in (operator.inputs, operator.outputs))
    for number in dict.fromkeys([*read, *made]):
        if number < 0:
            continue
        tensor = graph.tensors[number]
        data = model.buffers[tensor.buffer].data
        tensor.buffer = 0
        if data is not None and len(data):
            buffer = schema.BufferT()
            buffer.data = data
            buffers.append(buffer)
            tensor.buffer = len(buffers) - 1
        elif number not in made:
            inputs.append(len(tensors))
        places[number] = len(tensors)
        tensors.append(tensor)
    operator.inputs = [places.get(number, -1) for number in read]
    operator.outputs = [places[number] for number in made]
    operator.opcodeIndex = 0
    alone = schema.SubGraphT()
    alone.name, alone.tensors, alone.operators = graph.name, tensors, [operator]
    alone.inputs, alone.outputs = inputs, list(operator.outputs)
    whole = schema.ModelT()
    whole.version, whole.operatorCodes = model.version, [code]
    whole.subgraphs, whole.buffers = [alone], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def kind_key(alone: bytes) -> tuple[Any, ...]:
    """Return what two isolated operators have in common that a GPU treats alike: all but values."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(alone, 0))
    graph = model.subgraphs[0]
    (operator,) = graph.operators
    options = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    tensors = tuple((read_numbers(t.shape), t.type, t.buffer > 0) for t in graph.tensors)
    return (model.operatorCodes[0].builtinCode, tensors, str(sorted(options.items())))
