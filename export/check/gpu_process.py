"""The process that runs a file on LiteRT's GPU engine: ``python -m export.check.gpu_process``.

A process of its own, because a driver may end it, and because the Vulkan loader reads its
environment once. It writes what it found as JSON and prints nothing.

The engine says in its log what it refuses, by kind of operator and cause, not which one; so each
operator of a refused kind is tried alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from export.check.isolate import isolate, kind_key
from export.onnx_to_tflite.listing import list_operators

__all__ = ["main"]

# Flags of XNNPACK: signed and unsigned 8-bit kernels as by default, and half precision in all else.
_HALF_PRECISION = 0x1 | 0x2 | 0x4
_HEADLINE = "operations are not supported by GPU delegate"
_REFUSAL = re.compile(r"^([A-Za-z0-9_]+): (.+)$")
_COUNTS = re.compile(r"(No|\d+) operations will run on the GPU, and .*?(\d+) operations will run")
_ADAPTER = re.compile(r"Selected adapter: (.+?), arch=")

Array = np.ndarray[Any, Any]


def main(arguments: list[str]) -> int:
    """Run the file of the first argument and write JSON to the second.

    The second is there, empty, as soon as the file has run on the CPU: who reads that this process
    died can tell by it whether a GPU had been asked.
    """
    path, report = Path(arguments[0]), Path(arguments[1])
    found = _examine(path.read_bytes(), report.touch)
    report.write_text(json.dumps(found))
    return 0


def _examine(content: bytes, note_cpu_done: Callable[[], None]) -> dict[str, Any]:
    engine = _Engine()
    inputs = engine.make_inputs(content)
    on_cpu = engine.run(content, inputs, engine.cpu())
    in_half = engine.run(content, inputs, engine.cpu(_HALF_PRECISION))
    note_cpu_done()
    begin = time.perf_counter()
    on_gpu, log = engine.try_gpu(content, inputs)
    seconds = time.perf_counter() - begin
    if (adapter := _ADAPTER.search(log)) is None:
        return {"adapter": "", "trouble": _last_error(log)}
    refusals, (on_gpu_count, on_cpu_count) = _read_refusals(log), _counts(log)
    resident = on_gpu is not None
    if on_gpu is None and on_gpu_count:
        on_gpu, _ = engine.try_gpu(content, inputs, beside_cpu=True)
    return {
        "adapter": adapter[1],
        "resident": resident,
        "on_cpu": on_cpu_count,
        "error": _distance(on_gpu, on_cpu),
        "half_error": _distance(in_half, on_cpu),
        "refused": _locate(engine, content, refusals),
        "trouble": "" if resident or refusals else _last_error(log),
        "seconds": seconds,
    }


def _read_refusals(log: str) -> dict[str, str]:
    """Return kind to cause, from the lines behind each headline."""
    found: dict[str, str] = {}
    lines = iter(log.splitlines())
    for line in lines:
        if _HEADLINE not in line:
            continue
        for row in lines:
            match = _REFUSAL.match(row)
            if match is None:
                break
            found.setdefault(match[1], match[2])
    return found


def _last_error(log: str) -> str:
    errors = [
        line.strip(" └") for line in log.splitlines() if line.startswith(("ERROR", "E0", "└"))
    ]
    return errors[-1][:300] if errors else "the engine says nothing"


def _counts(log: str) -> tuple[int, int]:
    match = _COUNTS.search(log)
    return (0, 0) if match is None else (int(match[1].replace("No", "0")), int(match[2]))


def _distance(got: list[Array] | None, wanted: list[Array]) -> float | None:
    """Return max |got - wanted| / max |wanted|, the worst of all outputs; None for no outputs."""
    if got is None:
        return None
    worst = 0.0
    for one, right in zip(got, wanted, strict=True):
        scale = float(np.abs(right.astype(np.float64)).max()) or 1.0
        far = float(np.abs(one.astype(np.float64) - right).max()) / scale
        worst = max(worst, far if np.isfinite(far) else np.inf)
    return min(worst, sys.float_info.max)  # JSON has no infinity


def _locate(engine: _Engine, content: bytes, refusals: dict[str, str]) -> list[dict[str, Any]]:
    """Return the operators that are refused also alone; all of a kind where none is."""
    found: list[dict[str, Any]] = []
    for kind, cause in refusals.items():
        seen: dict[Any, str | None] = {}
        mine = [op for op in list_operators(content) if op.kind == kind]
        rows = []
        for operator in mine:
            alone = isolate(content, operator.index)
            key = kind_key(alone)
            if key not in seen:
                _, log = engine.try_gpu(alone, None)
                seen[key] = _read_refusals(log).get(kind)
            if seen[key] is not None:
                rows.append({"index": operator.index, "cause": seen[key]})
        found += rows or [{"index": operator.index, "cause": cause} for operator in mine]
    return found


class _Engine:
    """LiteRT's compiled models, in one environment."""

    def __init__(self) -> None:
        from ai_edge_litert import compiled_model, environment, hardware_accelerator, options

        self._models = compiled_model.CompiledModel
        self._accelerators = hardware_accelerator.HardwareAccelerator
        self._options = options
        runtime = os.path.dirname(options.__file__)
        with _captured():
            self._environment = environment.Environment.create(
                options=environment.EnvironmentOptions(runtime_path=runtime)
            )

    def cpu(self, xnnpack_flags: int | None = None) -> Any:
        """Return the options of a run on the CPU."""
        cpu = self._options.CpuOptions(num_threads=1, xnnpack_flags=xnnpack_flags)
        return self._options.Options(hardware_accelerators=self._accelerators.CPU, cpu_options=cpu)

    def try_gpu(
        self, content: bytes, inputs: list[Array] | None, *, beside_cpu: bool = False
    ) -> tuple[list[Array] | None, str]:
        """Run on the GPU, in float32 where the driver could do less.

        Returns:
            The outputs, None where it did not run or no inputs are given; and the engine's log.
        """
        accelerators = self._accelerators.GPU
        if beside_cpu:
            accelerators |= self._accelerators.CPU
        options = self._options.Options(
            hardware_accelerators=accelerators,
            gpu_options=self._options.GpuOptions(enforce_f32=True),
        )
        with _captured() as log:
            try:
                outputs = self._run(content, inputs, options)
            except RuntimeError as error:
                outputs = None
                os.write(2, f"\n{error}\n".encode())
        return outputs, "".join(log)

    def run(self, content: bytes, inputs: list[Array], options: Any) -> list[Array]:
        """Run a file and return its outputs."""
        with _captured():
            outputs = self._run(content, inputs, options)
        assert outputs is not None  # there are inputs
        return outputs

    def _run(self, content: bytes, inputs: list[Array] | None, options: Any) -> list[Array] | None:
        model = self._models.from_buffer(content, environment=self._environment, options=options)
        if inputs is None:
            return None
        fed, made = model.create_input_buffers(0), model.create_output_buffers(0)
        for buffer, array in zip(fed, inputs, strict=True):
            buffer.write(array)
        model.run_by_index(0, fed, made)
        return [
            np.array(buffer.read(int(np.prod(shape)), dtype))
            for buffer, (shape, dtype) in zip(made, _specs(model, inputs=False), strict=True)
        ]

    def make_inputs(self, content: bytes) -> list[Array]:
        """Return seeded noise for every input, of its type."""
        with _captured():
            model = self._models.from_buffer(
                content, environment=self._environment, options=self.cpu()
            )
            specs = _specs(model, inputs=True)
        rng = np.random.default_rng(0)
        return [_noise(rng, shape, dtype) for shape, dtype in specs]


def _specs(model: Any, *, inputs: bool) -> list[tuple[tuple[int, ...], Any]]:
    """Return shape and type of each input or output, in the signature's order."""
    signature = model.get_signature_by_index(0)
    details = model.get_input_tensor_details if inputs else model.get_output_tensor_details
    known = details(signature["key"])
    names = signature["inputs" if inputs else "outputs"]
    return [(tuple(known[name]["shape"]), known[name]["dtype"]) for name in names]


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return rng.random(shape) < 0.5
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        # A byte is a stored number; a wider integer is an index, which must be a small one.
        low, high = (limits.min, limits.max) if kind.itemsize == 1 else (0, 1)
        return rng.integers(low, high, shape, endpoint=True).astype(kind)
    return rng.normal(size=shape).astype(kind)


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Keep what native code writes to standard error, and add it to the list at the end."""
    texts: list[str] = []
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        try:
            os.dup2(sink.fileno(), 2)
            yield texts
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            texts.append(sink.read().decode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
