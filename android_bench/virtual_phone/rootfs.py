"""The virtual phone's files: a Dimensity 1000+ (MT6889) with Android's names and places.

Data only: paths below the phone's root and what stands in them. ``daemon.py`` writes them to a
file system in memory, hooks change them while the phone runs, and the programs of ``scripts``
answer from them as Android's own do.

Sources: MediaTek's Dimensity 1000 product page (4 × Cortex-A77 at 2.6 GHz, 4 × Cortex-A55 at
2.0 GHz); the kernel's documentation of cpufreq, thermal and CPU topology in sysfs; Arm's part
numbers of MIDR_EL1 (0xd05 A55, 0xd0d A77); Android's ``BatteryManager`` and ``Temperature``
classes for the numbers that dumpsys prints.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

__all__ = ["BATTERY", "CLUSTERS", "PROPERTIES", "SERIAL", "ZONES", "Cluster", "battery", "files"]
__all__ += ["thermal"]

SERIAL = "VIRTUALMT6889"

PROPERTIES = {
    "ro.boot.serialno": SERIAL,
    "ro.serialno": SERIAL,
    "ro.product.manufacturer": "Virtual",
    "ro.product.brand": "Virtual",
    "ro.product.model": "Virtual Dimensity 1000+",
    "ro.product.name": "virtual_mt6889",
    "ro.product.device": "virtual_mt6889",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
    "ro.product.cpu.abilist64": "arm64-v8a",
    "ro.soc.manufacturer": "Mediatek",
    "ro.soc.model": "MT6889Z/CZA",
    "ro.board.platform": "mt6889",
    "ro.hardware": "mt6889",
    "ro.build.version.release": "12",
    "ro.build.version.sdk": "31",
    "ro.build.fingerprint": "Virtual/virtual_mt6889/virtual_mt6889:12/VP1A/1:user/release-keys",
    "ro.build.type": "user",
    "ro.debuggable": "0",
    "ro.secure": "1",
    "ro.kernel.qemu": "1",
    "sys.boot_completed": "1",
    # Only the virtual phone has this one: whoever measures must see that times mean nothing here.
    "ro.pfd.virtual": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Cores that share one clock.

    Attributes:
        cores: Their numbers.
        part: Of MIDR_EL1.
        frequencies_khz: Operating points, ascending.
        capacity: Relative speed as the scheduler sees it; the fastest is 1024.
    """

    cores: tuple[int, ...]
    part: int
    frequencies_khz: tuple[int, ...]
    capacity: int


CLUSTERS = (
    Cluster(
        cores=(0, 1, 2, 3),
        part=0xD05,
        frequencies_khz=(500_000, 850_000, 1_200_000, 1_600_000, 2_000_000),
        capacity=372,
    ),
    Cluster(
        cores=(4, 5, 6, 7),
        part=0xD0D,
        frequencies_khz=(774_000, 1_250_000, 1_700_000, 2_200_000, 2_600_000),
        capacity=1024,
    ),
)

# Name and temperature in thousandths of a degree Celsius, in the order of the zone numbers.
ZONES = (("mtktscpu", 38_500), ("mtktsbattery", 29_000), ("mtktsAP", 33_200), ("mtktspa", 34_000))

BATTERY = {
    "AC powered": "false",
    "USB powered": "true",
    "Wireless powered": "false",
    "status": "2",  # BATTERY_STATUS_CHARGING
    "health": "2",
    "present": "true",
    "level": "87",
    "scale": "100",
    "voltage": "4210",
    "temperature": "290",  # tenths of a degree Celsius
    "technology": "Li-ion",
}


def battery(changes: dict[str, str]) -> str:
    """Return what ``dumpsys battery`` prints."""
    lines = [f"  {key}: {value}" for key, value in (BATTERY | changes).items()]
    return "Current Battery Service state:\n" + "\n".join(lines) + "\n"


def thermal(status: int, skin_c: float, cpu_c: float, battery_c: float) -> str:
    """Return what ``dumpsys thermalservice`` prints; status is 0 (none) to 6 (shutdown)."""
    readings = (("CPU", 0, cpu_c), ("BATTERY", 2, battery_c), ("SKIN", 3, skin_c))
    rows = [
        f"\tTemperature{{mValue={value:.1f}, mType={kind}, mName={name}, mStatus={status}}}"
        for name, kind, value in readings
    ]
    return "\n".join(
        [
            "IsStatusOverride: false",
            f"Thermal Status: {status}",
            "HAL Ready: true",
            "Current temperatures from HAL:",
            *rows,
            "",
        ]
    )


def files() -> dict[str, str]:
    """Return every file but the programs: path below the root, and its text."""
    content = {f"dev/properties/{name}": value for name, value in PROPERTIES.items()}
    content |= _processors()
    content |= _zones()
    content["dev/dumpsys/battery"] = battery({})
    content["dev/dumpsys/thermalservice"] = thermal(0, 33.2, 38.5, 29.0)
    content["dev/dumpsys/power"] = "Power Manager State:\n  mWakefulness=Awake\n"
    content["dev/dumpsys/package"] = ""
    content["dev/settings/global/low_power"] = "0"
    content["dev/settings/global/stay_on_while_plugged_in"] = "0"
    content["dev/clock_offset_s"] = "0"
    content["dev/boot_id"] = f"{uuid.uuid4()}\n"
    content["etc/passwd"] = "root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n"
    content["etc/group"] = "root:x:0:\nshell:x:2000:\n"
    content["etc/hosts"] = "127.0.0.1 localhost\n"
    return content


def _processors() -> dict[str, str]:
    cpu = "sys/devices/system/cpu"
    count = sum(len(cluster.cores) for cluster in CLUSTERS)
    # Without the first two, ExecuTorch has no thread pool and LiteRT compiles no model.
    content = {f"{cpu}/{name}": f"0-{count - 1}\n" for name in ("possible", "present", "online")}
    description = []
    for cluster in CLUSTERS:
        content |= _policy(cluster)
        for core in cluster.cores:
            content[f"{cpu}/cpu{core}/online"] = "1\n"
            content[f"{cpu}/cpu{core}/cpu_capacity"] = f"{cluster.capacity}\n"
            midr = 0x41 << 24 | 0xF << 16 | cluster.part << 4
            content[f"{cpu}/cpu{core}/regs/identification/midr_el1"] = f"0x{midr:016x}\n"
            description.append(
                f"processor\t: {core}\nBogoMIPS\t: 26.00\n"
                "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp "
                "cpuid asimdrdm lrcpc dcpop asimddp\n"
                f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
                f"CPU part\t: 0x{cluster.part:x}\nCPU revision\t: 0\n\n"
            )
    content["dev/cpuinfo"] = "".join(description) + "Hardware\t: MT6889Z/CZA\n"
    return content


def _policy(cluster: Cluster) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpufreq/policy{cluster.cores[0]}"
    cores = " ".join(map(str, cluster.cores))
    low, high = cluster.frequencies_khz[0], cluster.frequencies_khz[-1]
    texts = {
        "affected_cpus": cores,
        "related_cpus": cores,
        "cpuinfo_min_freq": low,
        "cpuinfo_max_freq": high,
        "scaling_min_freq": low,
        "scaling_max_freq": high,
        "scaling_cur_freq": high,
        "scaling_governor": "schedutil",
        "scaling_available_governors": "ondemand userspace performance schedutil",
        "scaling_available_frequencies": " ".join(map(str, cluster.frequencies_khz)),
        "scaling_driver": "mtk-cpufreq",
    }
    content = {f"{folder}/{name}": f"{text}\n" for name, text in texts.items()}
    in_state = "".join(f"{khz} {1000 * n}\n" for n, khz in enumerate(cluster.frequencies_khz, 1))
    content[f"{folder}/stats/time_in_state"] = in_state
    return content


def _zones() -> dict[str, str]:
    content = {}
    for number, (name, temperature_mc) in enumerate(ZONES):
        folder = f"sys/class/thermal/thermal_zone{number}"
        content[f"{folder}/type"] = f"{name}\n"
        content[f"{folder}/temp"] = f"{temperature_mc}\n"
    content["sys/class/power_supply/battery/status"] = "Charging\n"
    content["sys/class/power_supply/battery/capacity"] = "87\n"
    content["sys/class/power_supply/battery/temp"] = "290\n"
    return content
