"""The operators of any .tflite file, in the order they run, with the tensors' names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pfd_models.errors import InputError

__all__ = ["FileOperator", "FileTensor", "list_operators", "read_numbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTensor:
    """A tensor of a file.

    Attributes:
        name: As the file says.
        shape: Its sizes; -1 where the file leaves one open.
        dtype: As the schema calls it, in lower case: ``float32``, ``int8``.
        constant: Whether its values are in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOperator:
    """An operator of a file.

    Attributes:
        index: Its place in the first subgraph.
        kind: As the schema calls it, ``CONV_2D``, or the name of a custom operator.
        version: Of the operator.
        inputs: What it reads; optional ones that are absent are left out.
        outputs: What it makes.
    """

    index: int
    kind: str
    version: int
    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]

    @property
    def layer(self) -> str:
        """Return the name of what it makes, which says the layer."""
        return (self.outputs[0].name if self.outputs else "") or f"operator {self.index}"


def list_operators(content: bytes, *, name: str = "the file") -> tuple[FileOperator, ...]:
    """Return the operators of a file's first subgraph.

    Args:
        content: The flatbuffer.
        name: What to call it in a message.

    Raises:
        InputError: It is no TFLite model, or it is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise InputError(f"{name} is no TFLite model: it lacks the mark TFL3; give a .tflite file")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        return _read(model, schema)
    except Exception as error:  # flatbuffers follows whatever offsets a damaged file has
        raise InputError(
            f"{name} is a damaged TFLite model, cut off or changed: copy or convert it again"
        ) from error


def _read(model: Any, schema: Any) -> tuple[FileOperator, ...]:
    kinds = {
        number: kind for kind, number in vars(schema.BuiltinOperator).items() if kind[0] != "_"
    }
    dtypes = {number: kind.lower() for kind, number in vars(schema.TensorType).items()}
    graph = model.subgraphs[0]

    def tensor(number: int) -> FileTensor:
        one = graph.tensors[number]
        shape = one.shapeSignature if one.shapeSignature is not None else one.shape
        data = model.buffers[one.buffer].data
        return FileTensor(
            name=(one.name or b"").decode(errors="replace"),
            shape=read_numbers(shape),
            dtype=dtypes.get(one.type, "unknown"),
            constant=data is not None and len(data) > 0,
        )

    found = []
    for index, operator in enumerate(graph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        # Files of before 2020 keep the number in a byte.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        kind = kinds.get(number, f"operator {number}")
        if kind == "CUSTOM":
            kind = (code.customCode or b"CUSTOM").decode(errors="replace")
        found.append(
            FileOperator(
                index=index,
                kind=kind,
                version=int(code.version),
                inputs=tuple(tensor(i) for i in read_numbers(operator.inputs) if i >= 0),
                outputs=tuple(tensor(i) for i in read_numbers(operator.outputs) if i >= 0),
            )
        )
    return tuple(found)


def read_numbers(vector: Any) -> tuple[int, ...]:
    """Return the numbers of a vector, which a file may leave out."""
    return () if vector is None else tuple(map(int, vector))
