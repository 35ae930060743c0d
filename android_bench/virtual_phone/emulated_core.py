"""The harness on one emulated arm64 core, without a phone around it.

For what depends on a core's instructions: with half-precision and dot-product instructions and
without, kernels of the engines differ, and so may last digits.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from android_bench.harness.client import Harness, describe
from android_bench.native_build.build import Built
from pfd_models.errors import DeviceError, SpecError, unknown

__all__ = ["A53", "A55", "A72", "A76", "A77", "MACHINES", "emulate"]

A53, A55, A72, A76, A77 = 0xD03, 0xD05, 0xD08, 0xD0B, 0xD0D
"""ARM's part numbers, as /proc/cpuinfo has them."""

_WITHOUT = "fp asimd aes pmull sha1 sha2 crc32"
_WITH = f"{_WITHOUT} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
"""Features of a core that has half-precision (fphp, asimdhp) and dot-product (asimddp)
instructions, and of one that has not, as /proc/cpuinfo has them."""

MACHINES = {
    "cortex-a76": (A76, _WITH),
    "cortex-a72": (A72, _WITHOUT),
    "cortex-a53": (A53, _WITHOUT),
}
"""By QEMU's name of a core: its part number and features."""


def emulate(built: Built, cpu: str, root: Path, *, parts: Sequence[int] = ()) -> Harness:
    """Return an arm64 harness that runs on an emulated core.

    Args:
        built: For ``linux-arm64``.
        cpu: QEMU's name of the core, whose instructions there are.
        root: An empty folder, for the files in which engines read what cores a machine has.
        parts: The machine's cores as part numbers; four of `cpu` where none are given.

    Raises:
        SpecError: No such core is known.
        DeviceError: There is no emulator, or the harness does not answer.
    """
    if cpu not in MACHINES:
        raise SpecError(unknown("core", cpu, MACHINES))
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        raise DeviceError("qemu-aarch64 is not installed (Debian: apt-get install qemu-user)")
    part, features = MACHINES[cpu]
    _write_machine(root, parts or [part] * 4, features)
    loader = [str(built.folder / "ld-linux-aarch64.so.1"), "--library-path", str(built.folder)]
    return describe([emulator, "-cpu", cpu, "-L", str(root), *loader, str(built.program)])


def _write_machine(root: Path, parts: Sequence[int], features: str) -> None:
    cpus = root / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{len(parts) - 1}\n")
    cores = [
        f"processor\t: {i}\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part:#x}\nCPU revision\t: 0\n"
        for i, part in enumerate(parts)
    ]
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text("\n".join(cores))
