"""``.onnx``: exported by PyTorch, simplified, checked, and free of the machine that made it.

The identity lies in ``metadata_props``. Two builds give the same bytes: source paths, stack
traces and other notes of the exporter are taken out.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import Run, WriteOptions, Written
from export.formats._half_onnx import store_half
from export.formats._module_names import name_by_module
from export.formats._stored_onnx import (
    STORED,
    as_unsigned,
    finish_quantized,
    name_stored,
    to_signed,
    to_unsigned,
)
from export.graph.module_paths import name_results
from export.quiet import quiet_logs
from pfd_models.errors import InputError, ModuleError

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

    from export.graph.program import Program

__all__ = ["NEEDS", "load", "read_identity", "write"]

NEEDS: str | None = None


def write(program: Program, path: Path, options: WriteOptions) -> Written:
    """Export a program to ONNX and write it as one file.

    Raises:
        ModuleError: An operator has no ONNX form, or the result is no valid model.
    """
    seconds: dict[str, float] = {}
    with _time_step(seconds, "torch.onnx"):
        model = _export(program)
    with _time_step(seconds, "onnxsim"):
        name_by_module(model.graph, name_results(program.exported.graph))
        model = _simplify(model)
        finish_quantized(model)
        if options.identity.get("precision") == "fp16":
            store_half(model)
    with _time_step(seconds, "onnx.checker"):
        _strip_notes(model)
        _number_namesakes(model)
        _set_identity(model, {**options.identity, **name_stored(program)})
        _check(model, program)
    with _time_step(seconds, "write"):
        path.write_bytes(model.SerializeToString(deterministic=True))
    return Written(
        inputs=as_unsigned(program.inputs),
        outputs=as_unsigned(program.outputs),
        delegates=None,
        leftovers=(),
        seconds=seconds,
    )


def load(path: Path) -> Run:
    """Load a file into onnxruntime, for one thread; arrays in PyTorch's layout.

    The integers of a quantised file's inputs and outputs go in and come out as int8, although the
    file has uint8.

    Raises:
        InputError: The file cannot be read as an ONNX model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    if not path.is_file():
        raise InputError(f"{path} is missing; build the artifacts again")
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common root
        raise InputError(f"{path} is no ONNX model onnxruntime can load: {_line(error)}") from error
    names = [i.name for i in session.get_inputs()]
    outputs = [o.name for o in session.get_outputs()]
    stored = session.get_modelmeta().custom_metadata_map.get(STORED, "").split(",")

    def run(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        fed = {
            name: to_unsigned(array) if name in stored else array
            for name, array in zip(names, inputs, strict=True)
        }
        found = session.run(outputs, fed)
        return [
            to_signed(array) if name in stored else array
            for name, array in zip(outputs, found, strict=True)
        ]

    return run


def read_identity(path: Path) -> dict[str, str]:
    """Return the key-value pairs that `write` put into a file.

    Raises:
        InputError: The file cannot be read as an ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise InputError(f"{path} cannot be read as an ONNX model: {_line(error)}") from error
    return {p.key: p.value for p in model.metadata_props}


def _export(program: Program) -> ModelProto:
    import torch

    from export.formats._shortcuts import speed_up_onnx_export

    with speed_up_onnx_export(), quiet_logs():
        try:
            exported = torch.onnx.export(
                program.exported,
                program.example,
                dynamo=True,
                optimize=True,  # without it onnxsim cannot fold the batch norms
                external_data=False,
                verbose=False,
                input_names=[spec.name for spec in program.inputs],
                output_names=[spec.name for spec in program.outputs],
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModuleError(f"the network has no ONNX form: {_line(_root(error))}") from error
    assert exported is not None  # it is None only when a file is written
    model = exported.model_proto
    _name_batch(model, program)
    return model


def _name_batch(model: ModelProto, program: Program) -> None:
    """Call an open batch ``batch``; PyTorch numbers its symbols."""
    place = next((i for i, spec in enumerate(program.inputs) if spec.batch is not None), None)
    if place is None:
        return
    symbol = model.graph.input[place].type.tensor_type.shape.dim[0].dim_param
    for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):  # which may be 2*s0
                dim.dim_param = re.sub(rf"\b{symbol}\b", "batch", dim.dim_param)


def _simplify(model: ModelProto) -> ModelProto:
    import onnxsim

    simplified, valid = onnxsim.simplify(model)
    return simplified if valid else model


def _strip_notes(model: ModelProto) -> None:
    """Drop what tells of the machine and the run: paths, traces, object numbers."""
    graph = model.graph
    model.doc_string = graph.doc_string = ""
    del model.metadata_props[:]
    del graph.metadata_props[:]
    for collection in (graph.node, graph.input, graph.output, graph.initializer, graph.value_info):
        for item in collection:
            item.doc_string = ""
            del item.metadata_props[:]


def _number_namesakes(model: ModelProto) -> None:
    """Give each node a name of its own; parts of one call share its, and no runtime loads that."""
    taken: set[str] = set()
    for node in model.graph.node:
        number, free = 1, node.name
        while free and free in taken:
            number += 1
            free = f"{node.name}_{number}"
        node.name = free
        taken.add(free)


def _set_identity(model: ModelProto, identity: Mapping[str, str]) -> None:
    for key, text in sorted(identity.items()):
        model.metadata_props.add(key=key, value=text)


def _check(model: ModelProto, program: Program) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModuleError(f"the ONNX form of the network is invalid: {_line(error)}") from error
    found = [[v.name for v in values] for values in (model.graph.input, model.graph.output)]
    wanted = [[spec.name for spec in specs] for specs in (program.inputs, program.outputs)]
    if found != wanted:
        raise ModuleError(
            f"the ONNX form has inputs and outputs {found}, expected {wanted}; an input that is "
            "never used, or an output that is an input, must be left out of the module"
        )
    if unfolded := _find_unfolded_norms(model):
        raise ModuleError(
            f"BatchNormalization {unfolded[0]!r} stands behind a convolution and was not folded; "
            "call eval() on the module and report it if that does not help"
        )


def _find_unfolded_norms(model: ModelProto) -> list[str]:
    """Name the batch norms that a convolution of their own precedes.

    Others stay: those of ShuffleNetV2's padding-free units follow convolution, pool and add.
    """
    uses = Counter(name for node in model.graph.node for name in node.input)
    maker = {name: node for node in model.graph.node for name in node.output}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        and (before := maker.get(node.input[0])) is not None
        and before.op_type == "Conv"
        and uses[node.input[0]] == 1
    ]


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@contextlib.contextmanager
def _time_step(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin
