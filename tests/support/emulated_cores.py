"""The harness on emulated arm64 cores, with half-precision and dot products and without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from android_bench.harness.client import Harness, describe
from android_bench.native_build.build import Built

WITHOUT = "fp asimd aes pmull sha1 sha2 crc32"
WITH = f"{WITHOUT} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"

A53, A55, A72, A76, A77 = 0xD03, 0xD05, 0xD08, 0xD0B, 0xD0D
"""ARM's part numbers, as /proc/cpuinfo has them."""

MACHINES = {
    "cortex-a76": (A76, WITH),
    "cortex-a72": (A72, WITHOUT),
    "cortex-a53": (A53, WITHOUT),
}
"""By QEMU's name of a core: its part number and what it can."""


def needs(reason: str) -> None:
    """Skip a test whose surroundings are missing; in CI they must not be."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def write_machine(root: Path, parts: Sequence[int], features: str) -> Path:
    """Write the files in which both engines read what cores a machine has, and return `root`."""
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
    return root


def emulate(built: Built, cpu: str, root: Path) -> Harness:
    """Return an arm64 harness that runs on an emulated core.

    Args:
        built: For ``linux-arm64``.
        cpu: QEMU's name of the core, whose instructions there are.
        root: From `write_machine`.
    """
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        needs("qemu-aarch64 is not installed (Debian: apt-get install qemu-user)")
    loader = [str(built.folder / "ld-linux-aarch64.so.1"), "--library-path", str(built.folder)]
    command = [str(emulator), "-cpu", cpu, "-L", str(root), *loader]
    return describe([*command, str(built.program)])
