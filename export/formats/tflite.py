"""``.tflite``: converted from the simplified ONNX file by this project's own converter.

Images are channels last unless asked otherwise. The identity lies in the file's metadata table,
with ``io_layout`` added, so that `load` knows how to feed a file it has not seen made; beside it
what apps' libraries read, with the classes' names in a ``labels.txt`` behind the model.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import Run, WriteOptions, Written, kept_axes, turn_images
from export.formats._app_metadata import describe_for_apps
from export.quiet import quiet_logs
from export.sets.manifest import Leftover, TensorSpec
from pfd_models.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from export.graph.program import Program
    from export.onnx_to_tflite import Inspection, SignatureTensor

__all__ = ["NEEDS", "load", "read_identity", "write"]

NEEDS: str | None = "onnx"

_HALF_ARITHMETIC = {"reduced_precision_support": "fp16accfp16"}
"""What LiteRT's XNNPACK delegate reads: it then computes in half where the processor can. (It
passes over ``fp16accfp32``.)"""

_MULTIPLYING = (
    "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV",
)  # fmt: skip


def write(program: Program, path: Path, options: WriteOptions) -> Written:
    """Convert the ONNX file at ``options.made_from`` and write the result.

    Raises:
        InputError: There is no such file.
        UnsupportedOperatorError: An operator has no TFLite form; the line names it.
    """
    import onnx

    from export.onnx_to_tflite import convert, inspect

    if options.made_from is None:
        raise InputError("a .tflite file is made from an .onnx file; give made_from")
    seconds: dict[str, float] = {}
    begin = time.perf_counter()
    kept = kept_axes(program.inputs, program.outputs)
    name = options.identity.get("name", "")
    batch = next((spec.batch for spec in program.inputs if spec.batch is not None), None)
    is_half = options.identity.get("precision") == "fp16"
    conversion = convert(
        onnx.load(str(options.made_from)),
        io_layout=options.tflite_io,
        keep_axes={spec.name for spec in kept.values()},
        half_weights=is_half,
        metadata={
            **{key: text for key, text in options.identity.items() if key != "labels"},
            "io_layout": options.tflite_io,
            **({"kept_axes": ",".join(kept)} if kept else {}),
            **(_HALF_ARITHMETIC if is_half else {}),
        },
        description=name,
        app=describe_for_apps(program, name, options.image, options.app),
        batch=batch[0] if batch else 1,
    )
    seconds["convert"] = time.perf_counter() - begin
    begin = time.perf_counter()
    path.write_bytes(conversion.data)
    seconds["write"] = time.perf_counter() - begin
    inspection = None
    if options.delegation:
        begin = time.perf_counter()
        inspection = inspect(conversion.data)
        seconds["inspect"] = time.perf_counter() - begin
    return Written(
        inputs=_specs(conversion.inputs, batch),
        outputs=_specs(conversion.outputs, batch),
        delegates=None if inspection is None else inspection.delegates,
        leftovers=() if inspection is None else _leftovers(inspection),
        seconds=seconds,
        backend="",
    )


def load(path: Path) -> Run:
    """Load a file into LiteRT, for one thread; arrays in PyTorch's layout, whatever the file's.

    Raises:
        InputError: The file cannot be read as a TFLite model.
    """
    identity = read_identity(path)
    channels_last = identity.get("io_layout", "nhwc") == "nhwc"
    kept = identity.get("kept_axes", "").split(",")
    with quiet_logs():
        interpreter = _interpreter(path)
    fed = [detail["index"] for detail in interpreter.get_input_details()]
    read = [detail["index"] for detail in interpreter.get_output_details()]

    def run(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        arrays = turn_images(inputs, "input", kept) if channels_last else inputs
        if _resize(interpreter, arrays):
            interpreter.allocate_tensors()
        for index, array in zip(fed, arrays, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(index) for index in read]
        return turn_images(outputs, "output", kept) if channels_last else outputs

    return run


def read_identity(path: Path) -> dict[str, str]:
    """Return the key-value pairs that `write` put into a file, and what other tools put in as text.

    Raises:
        InputError: The file cannot be read as a TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema

    from export.onnx_to_tflite.app_metadata import ENTRY_NAME

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or '').lower()}") from error
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is no TFLite model: it lacks the mark TFL3; build it again")
    model = schema.Model.GetRootAs(content, 0)
    identity = {}
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        name = entry.Name().decode()
        if name == ENTRY_NAME:
            continue  # for apps' libraries, and no text
        value = model.Buffers(entry.Buffer()).DataAsNumpy()
        with contextlib.suppress(UnicodeDecodeError):  # other converters keep flatbuffers there
            identity[name] = value.tobytes().decode() if len(value) else ""
    return identity


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise InputError(f"{path} is no TFLite model LiteRT can load: {line}") from error
    return interpreter


def _resize(interpreter: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> bool:
    """Ask for another batch than the last one where the file leaves it open; True where asked."""
    asked = False
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        if list(detail["shape_signature"][:1]) == [-1] and tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape, strict=True)
            asked = True
    return asked


def _specs(
    infos: Sequence[SignatureTensor], batch: tuple[int, int] | None
) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=info.name,
            shape=info.shape,
            dtype=info.dtype,
            batch=batch if info.has_open_batch else None,
            layout=info.layout.upper() or ("NC" if len(info.shape) == 2 else ""),
        )
        for info in infos
    )


def _leftovers(inspection: Inspection) -> tuple[Leftover, ...]:
    total = sum(inspection.ops.get(kind, 0) for kind in _MULTIPLYING) or 1
    return tuple(
        Leftover(
            op=kind,
            count=count,
            cause="LiteRT's XNNPACK delegate does not take it",
            # The interpreter does not tell operators of one kind apart, so this is by number.
            mac_share=count / total if kind in _MULTIPLYING else 0.0,
            fix="use an operator the delegate has",
        )
        for kind, count in inspection.leftovers.items()
    )
