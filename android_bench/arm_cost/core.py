"""The emulated core as the engines see it: part number, features, and a model of its caches.

XNNPACK chooses its kernels by the part number in ``/proc/cpuinfo`` and by the features that the
kernel reports. LiteRT chooses by the core it is on at that moment, and an emulated program is told
the computer's own CPU number: so every core of the emulated processor is of the same kind.

Sources: Arm's Technical Reference Manuals of Cortex-A77 and Cortex-A55 (part numbers, features,
ways); MediaTek's Dimensity 1000 product page (which cores). The sizes of the second level are
those that designs of these years had and are an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from android_bench.virtual_phone.emulated_core import A55, A77
from pfd_models.errors import InputError, unknown
from pfd_models.operating_system import usable_cpus

__all__ = ["CORES", "Core", "find_core", "phone_files"]

_LEAST_CORES = 8
# Of both: ARMv8.2 with half precision and dot products.
_FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A core that can be emulated.

    Attributes:
        name: As the user types it.
        title: As Arm calls it.
        part: Of MIDR_EL1.
        cpu_model: Of the emulator's models, the one with the same instructions; 7.2 has no
            Cortex-A77 and no A55, and the A76 has the instructions of both.
        l1: Bytes and ways of the modelled first level of data.
        l2: Of the second level.
    """

    name: str
    title: str
    part: int
    cpu_model: str
    l1: tuple[int, int]
    l2: tuple[int, int]

    @property
    def caches(self) -> str:
        """Return the model of the caches as the counter takes it."""
        return f"l1={self.l1[0]}:{self.l1[1]},l2={self.l2[0]}:{self.l2[1]}"


CORES: Mapping[str, Core] = {
    core.name: core
    for core in (
        Core(
            name="a77",
            title="Cortex-A77",
            part=A77,
            cpu_model="cortex-a76",
            l1=(64 << 10, 4),
            l2=(512 << 10, 8),
        ),
        Core(
            name="a55",
            title="Cortex-A55",
            part=A55,
            cpu_model="cortex-a76",
            l1=(32 << 10, 4),
            l2=(128 << 10, 4),
        ),
    )
}


def find_core(name: str) -> Core:
    """Return a core by name.

    Raises:
        InputError: There is none of that name.
    """
    if name not in CORES:
        raise InputError(unknown("core", name, CORES))
    return CORES[name]


def phone_files(core: Core) -> dict[str, str]:
    """Return what an engine reads about the processor: path below the root, and its text."""
    count = max(_LEAST_CORES, 1 + max(usable_cpus()))
    cpu = "sys/devices/system/cpu"
    # Without the first two, ExecuTorch has no thread pool and LiteRT compiles no model.
    files = {f"{cpu}/{name}": f"0-{count - 1}\n" for name in ("possible", "present", "online")}
    processors = [
        f"processor\t: {number}\nBogoMIPS\t: 26.00\nFeatures\t: {_FEATURES}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        f"CPU part\t: 0x{core.part:x}\nCPU revision\t: 0\n\n"
        for number in range(count)
    ]
    files["proc/cpuinfo"] = "".join(processors) + "Hardware\t: MT6889Z/CZA\n"
    for number in range(count):
        files[f"{cpu}/cpu{number}/cpufreq/cpuinfo_max_freq"] = "2600000\n"
        files[f"{cpu}/cpu{number}/cpufreq/cpuinfo_min_freq"] = "774000\n"
        files[f"{cpu}/cpu{number}/topology/physical_package_id"] = "0\n"
        files[f"{cpu}/cpu{number}/topology/core_siblings_list"] = f"0-{count - 1}\n"
    return files
