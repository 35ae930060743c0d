"""``.pte``: ExecuTorch programs, lowered for a delegate.

Besides ``forward`` the file has methods that return constants, so that it says what it is:
``identity`` (a JSON object as text), ``input_names`` and ``output_names`` (lists of text).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import Run, WriteOptions, Written, kept_axes, turn_images
from export.formats.pte.backends import get_backend
from export.quiet import quiet_logs
from pfd_models.errors import InputError, ModuleError, SpecError

if TYPE_CHECKING:
    import numpy as np

    from export.graph.program import Program

__all__ = ["NEEDS", "load", "read_identity", "write"]

NEEDS: str | None = None


def write(program: Program, path: Path, options: WriteOptions) -> Written:
    """Lower a program for the backend and write it.

    Raises:
        SpecError: The backend is unknown or cannot be used here.
        ModuleError: ExecuTorch cannot lower the graph; the line says which operator.
    """
    from export.formats.pte.delegation import count_delegate_calls
    from export.formats.pte.lowering import lower

    backend = get_backend(options.backend)
    precision = options.identity.get("precision", "fp32")
    if precision not in backend.precisions:
        takes = ", ".join(backend.precisions)
        raise SpecError(f"backend {options.backend!r} has no {precision}; it takes {takes}")
    identity = dict(options.identity)
    if options.pte_io == "nhwc":
        from export.formats.pte.channels_last import turn_images

        identity["io_layout"] = "nhwc"
        identity["kept_axes"] = ",".join(kept_axes(program.inputs, program.outputs))
        program = turn_images(program)
    constants = {
        "identity": json.dumps(identity, sort_keys=True),
        "input_names": [spec.name for spec in program.inputs],
        "output_names": [spec.name for spec in program.outputs],
    }
    try:
        lowered = lower(
            program.exported, backend.partitioners(), constants, in_half=precision == "fp16"
        )
    except Exception as error:  # ExecuTorch's passes raise whatever they like
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModuleError(
            f"ExecuTorch cannot lower the network for {options.backend}: {line[:200]}"
        ) from error
    _check_kernels(lowered.program.executorch_program)
    begin = time.perf_counter()
    with path.open("wb") as file:
        lowered.program.write_to_file(file)
    seconds = {**lowered.seconds, "write": time.perf_counter() - begin}
    return Written(
        inputs=program.inputs,
        outputs=program.outputs,
        delegates=count_delegate_calls(lowered.program.executorch_program),
        leftovers=lowered.leftovers if options.delegation else (),
        seconds=seconds,
        backend=options.backend,
    )


def load(path: Path) -> Run:
    """Load a file into ExecuTorch's own runtime; arrays in PyTorch's layout.

    Raises:
        InputError: The file cannot be read as an ExecuTorch program, or it does not run; the
            latter also when the result is called.
    """
    import numpy as np
    import torch

    program = _load_program(path)
    identity = _read_identity(program, path)
    channels_last = identity.get("io_layout") == "nhwc"
    kept = identity.get("kept_axes", "").split(",")
    with quiet_logs(), _refusals(path):
        method = program.load_method("forward")

    def run(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        fed = turn_images(inputs, "input", kept) if channels_last else inputs
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in fed]
        with quiet_logs(), _refusals(path):
            outputs = method.execute(tensors)
        # The method writes its next results into the same memory.
        arrays = [tensor.detach().numpy().copy() for tensor in outputs]
        return turn_images(arrays, "output", kept) if channels_last else arrays

    return run


def read_identity(path: Path) -> dict[str, str]:
    """Return the key-value pairs that `write` put into a file.

    Raises:
        InputError: The file cannot be read, or has no identity.
    """
    if identity := _read_identity(_load_program(path), path):
        return identity
    raise InputError(f"{path} does not say what it is: it has no method 'identity'")


def _read_identity(program: Any, path: Path) -> dict[str, str]:
    """Return what a program says of itself; nothing where `write` did not make it."""
    if "identity" not in program.method_names:
        return {}
    with quiet_logs(), _refusals(path):
        (text,) = program.load_method("identity").execute([])
    try:
        identity = json.loads(text)
    except (TypeError, ValueError):  # a method of this name in somebody else's file
        return {}
    return identity if isinstance(identity, dict) else {}


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise InputError(f"{path} does not run in ExecuTorch's runtime: {error}") from error


def _check_kernels(program: Any) -> None:
    """Refuse a program with an operator that neither the delegate nor the runtime can run."""
    from executorch.runtime import Runtime

    known = Runtime.get().operator_registry.operator_names
    for plan in program.execution_plan:
        for operator in plan.operators:
            name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
            if name not in known:
                raise ModuleError(
                    f"ExecuTorch's runtime has no kernel for {name} and the delegate did not "
                    "take it; the file would not load, use another operator in the module"
                )


def _load_program(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path} is missing; build the artifacts again")
    try:
        with quiet_logs():
            from executorch.runtime import Runtime  # says much while it is imported

            return Runtime.get().load_program(path)
    except RuntimeError as error:
        raise InputError(
            f"{path} is no ExecuTorch program this runtime can load ({error}); build it again"
        ) from error
