"""What stands in the way of a good measurement on a device, and what it cannot run at all."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from android_bench.devices.phone.profile import PhoneProfile
from android_bench.errors import UnfitDeviceError
from pfd_models.errors import InputError

__all__ = ["ReadinessIssue", "find_issues", "require_abi", "require_runs"]

_MIN_SDK = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessIssue:
    """What stands in the way of a good measurement.

    Attributes:
        what: As ``charging``.
        advice: What to do.
    """

    what: str
    advice: str


def find_issues(profile: PhoneProfile) -> tuple[ReadinessIssue, ...]:
    """Return what stands in the way of a good measurement; nothing of it is an error."""
    found = []

    def note(what: str, advice: str) -> None:
        found.append(ReadinessIssue(what=what, advice=advice))

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


def require_abi(profile: PhoneProfile, abi: str = "arm64-v8a") -> None:
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


def require_runs(profile: PhoneProfile, program: Path) -> None:
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
