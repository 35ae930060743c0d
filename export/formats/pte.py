"""``.pte``: ExecuTorch programs, lowered for a delegate.

Besides ``forward`` the file has methods that return constants, so that it says what it is:
``identity`` (a JSON object as text), ``input_names`` and ``output_names`` (lists of text).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.backends import get_backend
from export.formats import WriteOptions, Written
from pfd_models.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from export.program import Program

__all__ = ["NEEDS", "read_identity", "run", "write"]

NEEDS: str | None = None


def write(program: Program, path: Path, options: WriteOptions) -> Written:
    """Lower a program for the backend and write it.

    Raises:
        SpecError: The backend is unknown or cannot be used here.
        ModuleError: ExecuTorch cannot lower the graph; the line says which operator.
    """
    from export.delegation import count_delegate_calls
    from export.lowering import lower

    backend = get_backend(options.backend)
    constants = {
        "identity": json.dumps(dict(options.identity), sort_keys=True),
        "input_names": [spec.name for spec in program.inputs],
        "output_names": [spec.name for spec in program.outputs],
    }
    lowered = lower(program.exported, backend.partitioners(), constants)
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


def run(path: Path, inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Run a file with ExecuTorch's own runtime; arrays in PyTorch's layout.

    Raises:
        InputError: The file cannot be read as an ExecuTorch program.
    """
    import numpy as np
    import torch

    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs]
    outputs = _load(path).load_method("forward").execute(tensors)
    return [tensor.detach().numpy().copy() for tensor in outputs]


def read_identity(path: Path) -> dict[str, str]:
    """Return the key-value pairs that `write` put into a file.

    Raises:
        InputError: The file cannot be read, or has no identity.
    """
    program = _load(path)
    if "identity" not in program.method_names:
        raise InputError(f"{path} does not say what it is: it has no method 'identity'")
    text = program.load_method("identity").execute([])[0]
    identity: dict[str, str] = json.loads(text)
    return identity


def _load(path: Path) -> Any:
    from executorch.runtime import Runtime

    if not path.is_file():
        raise InputError(f"{path} is missing; build the artifacts again")
    with contextlib.suppress(RuntimeError):
        return Runtime.get().load_program(path)
    raise InputError(f"{path} is no ExecuTorch program this runtime can load; build it again")
