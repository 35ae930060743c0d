"""Does a .tflite file stay on a phone's GPU? LiteRT's own GPU engine runs it and says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.check.vulkan import Driver, find_drivers, vulkan_environment
from export.onnx_to_tflite.listing import FileOperator, list_operators
from pfd_models.errors import DeviceError, InputError

__all__ = ["ERROR_LIMIT", "GpuReport", "RefusedOperator", "check_gpu", "read_file"]

ERROR_LIMIT = 1e-4  # max |GPU - CPU| / max |CPU|, both in float32
_TIMEOUT_SECONDS = 300.0

# What a user can do about a kind of operator, or about a cause that begins so.
_FIXES = {
    "RELU_0_TO_1": "clamp with torch.clamp(x, 0, 1) and convert with export.build, which writes "
    "RELU and MINIMUM",
    "L2_NORMALIZATION": "divide by the root of the sum of squares, which export.build writes apart",
    "LOG_SOFTMAX": "take the softmax, or leave it to the app: the order of scores is the same",
    "Tensor type(INT64)": "let the app take the largest score: GPUs have no 64-bit integers",
    "Tensor dimensions must be": "keep tensors at four axes or fewer: convert with export.build, "
    "which moves channels by slices, or join axes before the reshape",
    "Permutation for transpose": "move at most four axes at once: convert with export.build, or "
    "join axes that stay together",
    "Softmax.beta": "scale the input of the softmax instead",
}
_OTHERWISE = (
    "use an operator that GPUs have, or move it to the file's end, where it costs one crossing"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedOperator:
    """An operator that does not run on the GPU.

    Attributes:
        index: Its place in the file.
        kind: As the schema calls it.
        layer: Name of the tensor it makes.
        cause: In the engine's words.
        fix: What to do about it.
    """

    index: int
    kind: str
    layer: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """What the GPU engine makes of a file.

    Attributes:
        file: Its name.
        driver: What it ran on, for the reader.
        adapter: What the engine calls the GPU.
        operators: In the file.
        resident: Whether all of them run on the GPU.
        refused: Those it does not take.
        trouble: Why they do not, where it takes each of them; empty otherwise.
        left_behind: Operators it could run and leaves to the CPU, as it keeps the largest piece.
        error: max |GPU - CPU| / max |CPU| of the outputs, the GPU in float32; None where nothing
            ran on the GPU.
        half_error: The same of a run in half precision on the CPU: an estimate of what phones do,
            whose GPUs compute in fp16 unless they are told otherwise.
        seconds: What loading and running took on this driver; says nothing about a phone's.
    """

    file: str
    driver: str
    adapter: str
    operators: int
    resident: bool
    refused: tuple[RefusedOperator, ...]
    trouble: str
    left_behind: int
    error: float | None
    half_error: float | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the file stays on the GPU and computes what the CPU computes."""
        return self.resident and self.error is not None and self.error <= ERROR_LIMIT


def check_gpu(path: Path) -> GpuReport:
    """Run a file on the GPU engine, in a process of its own.

    Args:
        path: A .tflite file of any origin.

    Raises:
        InputError: It cannot be read, or LiteRT cannot run it at all.
        DeviceError: There is no Vulkan driver, or the process ended on every one.
    """
    operators = list_operators(read_file(path), name=str(path))
    failures = []
    for driver in find_drivers():
        try:
            found = _run(path, driver)
        except DeviceError as error:
            failures.append(str(error))
            continue
        return _make_report(path, driver, operators, found)
    raise DeviceError(failures[-1])


def read_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}; give a .tflite file") from error


def _run(path: Path, driver: Driver) -> dict[str, Any]:
    with vulkan_environment(driver) as environment, tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "export.check.gpu_process", str(path), str(report)]
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"the GPU check of {path} had no answer within {_TIMEOUT_SECONDS:.0f} s on "
                f"{driver.name}: {_OTHER_DRIVER}"
            ) from error
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            if not report.exists():
                raise DeviceError(
                    f"LiteRT ended by {name} on {path} before it asked a GPU: the file is likely "
                    "damaged; convert it again"
                )
            raise DeviceError(
                f"the Vulkan driver ({driver.name}) ended the GPU check of {path} by {name}: "
                f"{_OTHER_DRIVER}"
            )
        if done.returncode:
            raise InputError(f"LiteRT cannot run {path}: {_last_line(done.stderr)}")
        found: dict[str, Any] = json.loads(report.read_text())
    if not found["adapter"]:
        raise DeviceError(
            f"LiteRT's GPU engine found no GPU through the Vulkan driver ({driver.name}: "
            f"{found['trouble']}): {_OTHER_DRIVER}"
        )
    return found


_OTHER_DRIVER = (
    "update it, or install one in software (Debian: apt-get install chromium-common) and name its "
    "ICD file in VK_ICD_FILENAMES"
)


def _last_line(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    # The engine goes on telling what it does while the process ends.
    said = [line for line in lines if line and not line.startswith(("INFO:", "WARNING:"))]
    return (said or ["it says nothing"])[-1][:300]


def _make_report(
    path: Path, driver: Driver, operators: tuple[FileOperator, ...], found: dict[str, Any]
) -> GpuReport:
    refused = tuple(
        RefusedOperator(
            index=row["index"],
            kind=operators[row["index"]].kind,
            layer=operators[row["index"]].layer,
            cause=row["cause"],
            fix=_find_fix(operators[row["index"]].kind, row["cause"]),
        )
        for row in sorted(found["refused"], key=lambda row: row["index"])
    )
    return GpuReport(
        file=path.name,
        driver=driver.name,
        adapter=found["adapter"],
        operators=len(operators),
        resident=found["resident"],
        refused=refused,
        trouble=found["trouble"],
        left_behind=0 if found["resident"] else max(0, found["on_cpu"] - len(refused)),
        error=found["error"],
        half_error=found["half_error"],
        seconds=found["seconds"],
    )


def _find_fix(kind: str, cause: str) -> str:
    if kind in _FIXES:
        return _FIXES[kind]
    return next((fix for start, fix in _FIXES.items() if cause.startswith(start)), _OTHERWISE)
