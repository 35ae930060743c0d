"""What a device is, read once over a transport, and what it lacks for a good measurement.

Everything comes from one shell command, so that a profile costs one round trip. Strings that a
device says about itself are cleaned before anyone sees them: a property may hold line breaks,
escape sequences for the terminal, or a megabyte. What cannot be read is empty or None.

Sources: the kernel's documentation of cpufreq and thermal zones in sysfs; Android's
``BatteryManager`` (status numbers) and ``PowerManager``; for big and LITTLE cores the rule of
LiteRT's ``mini_benchmark/big_little_affinity.cc``; Arm's manuals for the part numbers of MIDR_EL1.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from android_bench.errors import UnfitDeviceError
from android_bench.transports import Transport
from pfd_models.errors import InputError

__all__ = [
    "Battery",
    "CpuCluster",
    "DeviceProfile",
    "Lack",
    "Root",
    "cpu_list",
    "core_mask",
    "lacks",
    "printable",
    "read_profile",
    "require_abi",
    "require_runs",
    "sections",
]

_TIMEOUT_S = 60.0
_DUMPSYS_TIMEOUT_S = 10
_MARK = "@@pfd-section"
_LONGEST = 120
_MIN_SDK = 26

# Arm Limited is implementer 0x41; in-order cores are LITTLE where frequencies do not tell.
_CORES = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
}
_IN_ORDER = frozenset({"Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520"})

_CPU = "/sys/devices/system/cpu"
_READ = f"""
echo '{_MARK} files'
grep -sH '' {_CPU}/possible {_CPU}/present {_CPU}/online {_CPU}/cpufreq/policy*/related_cpus \
 {_CPU}/cpufreq/policy*/cpuinfo_min_freq {_CPU}/cpufreq/policy*/cpuinfo_max_freq \
 {_CPU}/cpufreq/policy*/scaling_governor {_CPU}/cpufreq/policy*/scaling_available_governors \
 /sys/class/thermal/thermal_zone*/type /proc/cpuinfo /proc/sys/kernel/random/boot_id \
 /proc/sys/kernel/osrelease
grep -s MemTotal /proc/meminfo
echo '{_MARK} user'; id -u; command -v su
if command -v dumpsys > /dev/null; then
for service in battery power thermalservice; do
  echo "{_MARK} $service"; timeout {_DUMPSYS_TIMEOUT_S} dumpsys $service
done
echo '{_MARK} low_power'; settings get global low_power
fi
true
"""


class Root(enum.Enum):
    """Whether settings can be changed, and how."""

    NONE = "none"
    ADBD = "adbd"  # commands run as root already, as after `adb root`
    SU = "su"  # a su program is there; whether it lets us was not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuCluster:
    """Cores that share one clock.

    Attributes:
        cpus: Their numbers, ascending.
        core: As ``Cortex-A77``; empty when unknown.
        min_khz: Lowest hardware frequency; None when the kernel does not tell.
        max_khz: Highest hardware frequency; None when the kernel does not tell.
        governor: In force.
        governors: To choose from.
    """

    cpus: tuple[int, ...]
    core: str
    min_khz: int | None
    max_khz: int | None
    governor: str
    governors: tuple[str, ...]


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
class DeviceProfile:
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

    @property
    def big_cpus(self) -> tuple[int, ...]:
        """The cores to measure on.

        Where the clusters' highest frequencies are equal, the LITTLE cores are those of an
        in-order kind; where exactly two cores are the fastest, these are big; else all are big
        but the slowest.
        """
        freqs = {cpu: c.max_khz for c in self.clusters for cpu in c.cpus if c.max_khz is not None}
        if len(set(freqs.values())) <= 1:
            out_of_order = [
                cpu for c in self.clusters for cpu in c.cpus if c.core not in _IN_ORDER
            ]
            return tuple(sorted(out_of_order)) or self.cpus
        fastest = [cpu for cpu, khz in freqs.items() if khz == max(freqs.values())]
        if len(fastest) == 2:
            return tuple(sorted(fastest))
        return tuple(sorted(cpu for cpu, khz in freqs.items() if khz > min(freqs.values())))

    @property
    def little_cpus(self) -> tuple[int, ...]:
        """All cores that are not big."""
        return tuple(cpu for cpu in self.cpus if cpu not in self.big_cpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What stands in the way of a good measurement.

    Attributes:
        what: As ``charging``.
        advice: What to do.
    """

    what: str
    advice: str


def core_mask(cpus: tuple[int, ...]) -> int:
    """Return the affinity mask with bit i set for core i."""
    return sum(1 << cpu for cpu in cpus)


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the cores of the kernel's list form, with commas or spaces; ``0-2,6`` is 0, 1, 2, 6.

    What is not of this form is left out: a device may say anything.
    """
    cpus: set[int] = set()
    for part in text.replace(",", " ").split():
        if match := re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part):
            first = int(match[1])
            cpus.update(range(first, int(match[2] or first) + 1))
    return tuple(sorted(cpus))


def printable(text: str) -> str:
    """Return a device's string on one line, without control characters, of bearable length."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def sections(text: str) -> dict[str, str]:
    """Take a command's output apart at the lines that name its sections."""
    parts = re.split(rf"^{_MARK} (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def files(text: str) -> dict[str, str]:
    """Return path to content from ``grep -H ''`` over files."""
    content: dict[str, list[str]] = {}
    for line in text.splitlines():
        path, separator, rest = line.partition(":")
        if separator and path.startswith("/"):
            content.setdefault(path, []).append(rest)
    return {path: "\n".join(lines).strip() for path, lines in content.items()}


def read_profile(transport: Transport) -> DeviceProfile:
    """Read everything about a device.

    Raises:
        DeviceError: The device does not answer.
    """
    properties = transport.properties()
    parts = sections(transport.run(_READ, timeout_s=_TIMEOUT_S).stdout)
    kernel_files = files(parts.get("files", ""))
    user = parts.get("user", "").split()
    memory = re.search(r"^MemTotal:\s+(\d+) kB", parts.get("files", ""), re.MULTILINE)

    def said(*names: str) -> str:
        return next((printable(properties[n]) for n in names if properties.get(n)), "")

    sdk = said("ro.build.version.sdk")
    abi = said("ro.product.cpu.abi")
    return DeviceProfile(
        serial=transport.serial,
        manufacturer=said("ro.product.manufacturer", "ro.product.brand"),
        model=said("ro.product.model", "ro.product.name") or "unknown",
        soc=said("ro.soc.model", "ro.board.platform", "ro.hardware"),
        abi=abi,
        abis=tuple(filter(None, said("ro.product.cpu.abilist").split(","))) or (abi,),
        android=said("ro.build.version.release") if sdk else "",
        sdk=int(sdk) if sdk.isdecimal() else None,
        kernel=printable(kernel_files.get("/proc/sys/kernel/osrelease", "")),
        clusters=_clusters(kernel_files),
        online=cpu_list(kernel_files.get(f"{_CPU}/online", "")),
        memory_kib=int(memory[1]) if memory else None,
        thermal_zones=tuple(
            printable(name)
            for path, name in sorted(kernel_files.items())
            if re.fullmatch(r"/sys/class/thermal/thermal_zone\d+/type", path)
        ),
        thermal_status=thermal_status(parts.get("thermalservice", "")),
        battery=_battery(parts.get("battery", "")),
        screen_on=_screen_on(parts.get("power", "")),
        power_saving={"1": True, "0": False}.get(parts.get("low_power", "").strip()),
        root=_root(user),
        boot_id=printable(kernel_files.get("/proc/sys/kernel/random/boot_id", "")),
        virtual=properties.get("ro.pfd.virtual") == "1"
        or properties.get("ro.kernel.qemu") == "1"
        or properties.get("ro.boot.qemu") == "1",
    )


def _root(user: list[str]) -> Root:
    if user[:1] == ["0"]:
        return Root.ADBD
    return Root.SU if len(user) > 1 else Root.NONE


def _clusters(content: Mapping[str, str]) -> tuple[CpuCluster, ...]:
    cores = _core_names(content.get("/proc/cpuinfo", ""))
    found = []
    policies = {m[1] for path in content if (m := re.match(rf"({_CPU}/cpufreq/policy\d+)/", path))}
    for policy in policies:
        cpus = cpu_list(content.get(f"{policy}/related_cpus", ""))
        if cpus:
            found.append(_cluster(content, policy, cpus, cores))
    covered = {cpu for cluster in found for cpu in cluster.cpus}
    rest = [cpu for cpu in cpu_list(content.get(f"{_CPU}/present", "")) if cpu not in covered]
    # Without cpufreq the kinds of cores are all there is to tell them apart by.
    for core in dict.fromkeys(cores.get(cpu, "") for cpu in rest):
        cpus = tuple(cpu for cpu in rest if cores.get(cpu, "") == core)
        found.append(_cluster(content, "", cpus, cores))
    return tuple(sorted(found, key=lambda cluster: cluster.cpus))


def _cluster(
    content: Mapping[str, str], policy: str, cpus: tuple[int, ...], cores: Mapping[int, str]
) -> CpuCluster:
    def khz(name: str) -> int | None:
        text = content.get(f"{policy}/{name}", "")
        return int(text) if text.isdecimal() and int(text) > 0 else None

    return CpuCluster(
        cpus=cpus,
        core=cores.get(cpus[0], ""),
        min_khz=khz("cpuinfo_min_freq"),
        max_khz=khz("cpuinfo_max_freq"),
        governor=printable(content.get(f"{policy}/scaling_governor", "")),
        governors=tuple(content.get(f"{policy}/scaling_available_governors", "").split()),
    )


def _core_names(cpuinfo: str) -> dict[int, str]:
    names = {}
    number = None
    for line in cpuinfo.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor" and value.isdecimal():
            number = int(value)
        elif key == "CPU part" and number is not None and re.fullmatch(r"0x[0-9a-f]+", value):
            names[number] = _CORES.get(int(value, 16), f"part {value}")
    return names


def thermal_status(text: str) -> int | None:
    """Read ``dumpsys thermalservice``; 0 is none, 1 light, 2 moderate, up to 6, shutdown."""
    match = re.search(r"^Thermal Status: (\d)\s*$", text, re.MULTILINE)
    return int(match[1]) if match else None


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


def lacks(profile: DeviceProfile) -> tuple[Lack, ...]:
    """Return what the device lacks for a good measurement; nothing of it is an error."""
    found = []

    def note(what: str, advice: str) -> None:
        found.append(Lack(what=what, advice=advice))

    battery = profile.battery
    if profile.virtual:
        note("it is emulated", "its times mean nothing; use it to try things out")
    if battery is not None:
        if battery.charging:
            note("charging", "let it charge fully, or measure through Wi-Fi: charging heats it")
        if battery.level_percent is not None and battery.level_percent < 30:
            note(f"battery at {battery.level_percent} %", "charge it: phones slow down when low")
        if battery.temp_c is not None and battery.temp_c > 37:
            note(f"battery at {battery.temp_c:.1f} °C", "let it cool down to 37 °C")
    if profile.thermal_status:
        note(f"thermal status {profile.thermal_status}", "let it cool down: it throttles already")
    if profile.power_saving:
        note("power saving is on", "turn it off: it lowers the clocks")
    if profile.screen_on is False:
        note("the screen is off", "keep it on (Developer options, Stay awake), or always off")
    offline = [cpu for cpu in profile.cpus if cpu not in profile.online]
    if offline and profile.online:
        note(f"cores {', '.join(map(str, offline))} offline", "wait until it is idle and cool")
    if not any(cluster.max_khz for cluster in profile.clusters):
        note("frequencies unreadable", "throttling can be seen by temperature only")
    if not profile.thermal_zones and profile.thermal_status is None:
        note("no temperature readable", "blocks are kept apart by a fixed pause")
    return tuple(found)


def require_abi(profile: DeviceProfile, abi: str = "arm64-v8a") -> None:
    """Require that a device runs programs of an ABI.

    Raises:
        UnfitDeviceError: It does not, or its Android is too old.
    """
    if abi not in profile.abis:
        bits = "a 32-bit device" if "64" not in "".join(profile.abis) else "another processor"
        raise UnfitDeviceError(
            f"{profile.serial} ({profile.model}) runs {', '.join(profile.abis) or 'nothing known'}"
            f" and the bench needs {abi}: this is {bits}, use another"
        )
    if profile.sdk is not None and profile.sdk < _MIN_SDK:
        raise UnfitDeviceError(
            f"{profile.serial} ({profile.model}) has Android {profile.android} (API "
            f"{profile.sdk}) and the bench needs Android 8 (API {_MIN_SDK}): use another"
        )


# e_machine and the class byte of ELF files, from the System V ABI's processor supplements.
_MACHINES = {
    (2, 0xB7): "arm64-v8a",
    (1, 0x28): "armeabi-v7a",
    (2, 0x3E): "x86_64",
    (1, 0x03): "x86",
}


def require_runs(profile: DeviceProfile, program: Path) -> None:
    """Require that a program is one that the device can run, before it is pushed.

    Raises:
        InputError: It is not an ELF program.
        UnfitDeviceError: It is one for another processor.
    """
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise InputError(
            f"cannot read {program}: {(error.strerror or str(error)).lower()}; name a program"
        ) from error
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise InputError(f"{program} is not an ELF program: build it for {profile.abi}")
    (machine,) = struct.unpack_from("<H", head, 18)
    abi = _MACHINES.get((head[4], machine), f"machine 0x{machine:x}")
    if abi not in profile.abis:
        raise UnfitDeviceError(
            f"{program.name} is a program for {abi} and {profile.serial} runs "
            f"{', '.join(profile.abis)}: build it with the right --target"
        )
