"""``.tflite``: this project's own lowering of the simplified ONNX, for LiteRT and TFLite.

The identity lies in the file's metadata table, with ``io_layout`` besides: how its
four-dimensional inputs and outputs lie in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import WriteOptions, Written
from export.manifest import Leftover, TensorSpec
from pfd_models.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from export.program import Program
    from export.tflite import TensorInfo

__all__ = ["NEEDS", "read_identity", "run", "write"]

NEEDS: str | None = "onnx"


def write(program: Program, path: Path, options: WriteOptions) -> Written:
    """Lower the ONNX file the options name and write it.

    Raises:
        InputError: The options name no ONNX file.
        UnsupportedOperatorError: A node has no TFLite form; the line names it.
    """
    import onnx

    from export.tflite import convert, inspect

    if options.made_from is None:
        raise InputError("a .tflite is made from an .onnx file; build the onnx format with it")
    begin = time.perf_counter()
    converted = convert(
        onnx.load(options.made_from),
        io_layout=options.tflite_io,
        metadata={**options.identity, "io_layout": options.tflite_io},
        description=" ".join(options.identity.get(k, "") for k in ("name", "variant", "dataset")),
    )
    path.write_bytes(converted.data)
    seconds = {"convert": time.perf_counter() - begin}
    found = inspect(converted.data)
    return Written(
        inputs=tuple(map(_spec, converted.inputs)),
        outputs=tuple(map(_spec, converted.outputs)),
        delegates=found.delegates,
        leftovers=tuple(
            Leftover(
                op=op,
                count=count,
                cause="LiteRT's XNNPACK delegate does not take it, or not in this form",
                mac_share=0.0,
                fix="use an operator the delegate has, as docs/other-models.md lists them",
            )
            for op, count in found.leftovers.items()
        ),
        seconds=seconds,
    )


def run(path: Path, inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Run a file with LiteRT on one thread; arrays in and out are in PyTorch's layout.

    Raises:
        InputError: The file cannot be read as a TFLite model.
    """
    import numpy as np

    nhwc = read_identity(path).get("io_layout", "nhwc") == "nhwc"
    interpreter = _load(path)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        fed = array.transpose(0, 2, 3, 1) if nhwc and array.ndim == 4 else array
        interpreter.set_tensor(detail["index"], np.ascontiguousarray(fed))
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    return [a.transpose(0, 3, 1, 2) if nhwc and a.ndim == 4 else a for a in outputs]


def read_identity(path: Path) -> dict[str, str]:
    """Return the key-value pairs that `write` put into a file.

    Raises:
        InputError: The file cannot be read as a TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = _read(path)
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is no TFLite model; build it again")
    model = schema.Model.GetRootAs(content)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    return {
        entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().decode()
        for entry in entries
    }


def _spec(tensor: TensorInfo) -> TensorSpec:
    layout = tensor.layout.upper() or ("NC" if len(tensor.shape) == 2 else "")
    return TensorSpec(name=tensor.name, shape=tensor.shape, dtype=tensor.dtype, layout=layout)


def _load(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(model_content=_read(path), num_threads=1)
    except ValueError as error:
        raise InputError(f"{path} is no TFLite model LiteRT can load; build it again") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read; build the artifacts again") from error
