"""What a device is, read once over a transport.

Two shell commands tell everything, so that a profile costs two round trips. Strings that a device
says about itself are cleaned before anyone sees them. What cannot be read is empty or None.

Sources: the kernel's documentation of cpufreq and thermal zones in sysfs; Android's
``BatteryManager`` (status numbers) and ``PowerManager``.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from android_bench.devices.answers import MARK, files, one_line, sections, thermal_status
from android_bench.devices.cores import CPU_FOLDER, CpuCluster, clusters, cpu_list
from android_bench.transports import Transport

__all__ = ["Battery", "PhoneProfile", "Root", "read_profile"]

_TIMEOUT_S = 60.0
_DUMPSYS_TIMEOUT_S = 10

_READ = f"""
echo '{MARK} files'
cd {CPU_FOLDER} && grep -sH '' $PWD/possible $PWD/present $PWD/online \
 $PWD/cpufreq/policy*/related_cpus $PWD/cpufreq/policy*/cpuinfo_m*_freq \
 $PWD/cpufreq/policy*/scaling_governor $PWD/cpufreq/policy*/scaling_available_governors \
 /sys/class/thermal/thermal_zone*/type /proc/cpuinfo /proc/sys/kernel/random/boot_id \
 /proc/sys/kernel/osrelease
grep -s MemTotal /proc/meminfo
echo '{MARK} user'; id -u; command -v su
if command -v dumpsys > /dev/null; then
for service in battery power thermalservice; do
  echo "{MARK} $service"; timeout {_DUMPSYS_TIMEOUT_S} dumpsys $service
done
echo '{MARK} low_power'; settings get global low_power
fi
true
"""


class Root(enum.Enum):
    """Whether settings can be changed, and how."""

    NONE = "none"
    ADBD = "adbd"  # commands run as root already, as after `adb root`
    SU = "su"  # a su program is there; whether it lets us was not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """The battery.

    Attributes:
        level_percent: Charge; None when unknown.
        plugged: Whether power comes from outside.
        charging: Whether it is being charged.
        temp_c: Degrees Celsius; None when unknown.
    """

    level_percent: int | None
    plugged: bool
    charging: bool
    temp_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneProfile:
    """A device as it was when the bench first looked.

    Attributes:
        serial: What the user calls it.
        manufacturer: As it says.
        model: As it says.
        soc: The chip.
        abi: Its first ABI, as ``arm64-v8a``.
        abis: All of them.
        android: Version, as ``12``; empty where it is no Android.
        sdk: API level; None where it is no Android.
        kernel: Release.
        clusters: By clock, in the order of their first core.
        online: Cores in use now.
        memory_kib: Physical memory; None when unknown.
        thermal_zones: Names of the zones whose type is readable.
        thermal_status: 0 (none) to 6 (shutdown); None when unknown.
        battery: None where there is none or it is not known.
        screen_on: None when unknown.
        power_saving: None when unknown.
        root: Whether and how settings can be changed.
        boot_id: Tells this boot from the next; empty when unknown.
        virtual: Whether it is this project's virtual phone or an emulator: its times mean nothing.
    """

    serial: str
    manufacturer: str
    model: str
    soc: str
    abi: str
    abis: tuple[str, ...]
    android: str
    sdk: int | None
    kernel: str
    clusters: tuple[CpuCluster, ...]
    online: tuple[int, ...]
    memory_kib: int | None
    thermal_zones: tuple[str, ...]
    thermal_status: int | None
    battery: Battery | None
    screen_on: bool | None
    power_saving: bool | None
    root: Root
    boot_id: str
    virtual: bool

    @property
    def cpus(self) -> tuple[int, ...]:
        """All cores, ascending."""
        return tuple(sorted(cpu for cluster in self.clusters for cpu in cluster.cpus))


def read_profile(transport: Transport) -> PhoneProfile:
    """Read everything about a device.

    Raises:
        DeviceError: The device does not answer.
    """
    properties = transport.properties()
    parts = sections(transport.run(_READ, timeout_s=_TIMEOUT_S).stdout)
    kernel_files = files(parts.get("files", ""))
    user = parts.get("user", "").split()
    memory = re.search(r"^MemTotal:\s+(\d{1,15}) kB", parts.get("files", ""), re.MULTILINE)

    def find(*names: str) -> str:
        return next((one_line(properties[n]) for n in names if properties.get(n)), "")

    sdk = find("ro.build.version.sdk")
    abi = find("ro.product.cpu.abi")
    return PhoneProfile(
        serial=transport.serial,
        manufacturer=find("ro.product.manufacturer", "ro.product.brand"),
        model=find("ro.product.model", "ro.product.name") or "unknown",
        soc=find("ro.soc.model", "ro.board.platform", "ro.hardware"),
        abi=abi,
        abis=tuple(filter(None, find("ro.product.cpu.abilist").split(","))) or (abi,),
        android=find("ro.build.version.release") if sdk else "",
        sdk=int(sdk) if re.fullmatch(r"\d{1,4}", sdk) else None,
        kernel=one_line(kernel_files.get("/proc/sys/kernel/osrelease", "")),
        clusters=clusters(kernel_files),
        online=cpu_list(kernel_files.get(f"{CPU_FOLDER}/online", "")),
        memory_kib=int(memory[1]) if memory else None,
        thermal_zones=tuple(
            one_line(name)
            for path, name in sorted(kernel_files.items())
            if re.fullmatch(r"/sys/class/thermal/thermal_zone\d+/type", path)
        ),
        thermal_status=thermal_status(parts.get("thermalservice", "")),
        battery=_battery(parts.get("battery", "")),
        screen_on=_screen_on(parts.get("power", "")),
        power_saving={"1": True, "0": False}.get(parts.get("low_power", "").strip()),
        root=_root(user),
        boot_id=one_line(kernel_files.get("/proc/sys/kernel/random/boot_id", "")),
        virtual=properties.get("ro.pfd.virtual") == "1"
        or properties.get("ro.kernel.qemu") == "1"
        or properties.get("ro.boot.qemu") == "1",
    )


def _root(user: list[str]) -> Root:
    if user[:1] == ["0"]:
        return Root.ADBD
    return Root.SU if len(user) > 1 else Root.NONE


def _battery(text: str) -> Battery | None:
    def number(name: str) -> int | None:
        match = re.search(rf"^\s*{name}: (-?\d{{1,9}})\s*$", text, re.MULTILINE)
        return int(match[1]) if match else None

    if number("level") is None:
        return None
    tenths = number("temperature")
    return Battery(
        level_percent=number("level"),
        plugged=re.search(r"^\s*\w+ powered: true\s*$", text, re.MULTILINE) is not None,
        charging=number("status") == 2,  # BATTERY_STATUS_CHARGING
        temp_c=None if tenths is None else tenths / 10,
    )


def _screen_on(text: str) -> bool | None:
    match = re.search(r"mWakefulness=(\w+)", text)
    return match[1] == "Awake" if match else None
