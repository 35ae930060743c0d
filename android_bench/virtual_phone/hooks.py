"""What can happen to a phone, made to happen to the virtual one: heat, throttling, faults.

Each function changes the files the phone answers from, or its processes and network, as the real
event would. Values are in the units of the names.
"""

from __future__ import annotations

from android_bench.virtual_phone import rootfs
from android_bench.virtual_phone.phone import VirtualPhone

__all__ = [
    "cap_frequency",
    "freeze_daemon",
    "hang_dumpsys",
    "heat",
    "kill_daemon",
    "leave_free",
    "make_room",
    "reboot",
    "remount_data",
    "set_battery",
    "set_clock_offset",
    "set_core",
    "set_network",
    "set_power_saving",
    "set_property",
    "set_screen",
    "start_daemon",
    "thaw_daemon",
]

_CPU = "sys/devices/system/cpu"


def heat(phone: VirtualPhone, temp_c: float, *, status: int = 0) -> None:
    """Bring all thermal zones to a temperature, and the thermal service to a status."""
    for number in range(len(rootfs.ZONES)):
        path = f"sys/class/thermal/thermal_zone{number}/temp"
        phone.request("write", path=path, text=f"{round(temp_c * 1000)}\n")
    text = rootfs.thermal(status, temp_c, temp_c, temp_c)
    phone.request("write", path="dev/dumpsys/thermalservice", text=text)


def cap_frequency(phone: VirtualPhone, policy: int, cap_khz: int) -> None:
    """Lower or raise what a cluster may run at; its clock follows at once."""
    for name in ("scaling_max_freq", "scaling_cur_freq"):
        path = f"{_CPU}/cpufreq/policy{policy}/{name}"
        phone.request("write", path=path, text=f"{cap_khz}\n")


def set_core(phone: VirtualPhone, cpu: int, *, online: bool) -> None:
    """Take a core offline or bring it back, in what the phone tells."""
    phone.request("write", path=f"{_CPU}/cpu{cpu}/online", text=f"{int(online)}\n")
    count = sum(len(cluster.cores) for cluster in rootfs.CLUSTERS)
    states = [
        phone.request("read", path=f"{_CPU}/cpu{n}/online")["text"].strip() for n in range(count)
    ]
    cores = ",".join(str(n) for n, state in enumerate(states) if state == "1")
    phone.request("write", path=f"{_CPU}/online", text=f"{cores}\n")


def set_battery(phone: VirtualPhone, **changes: str) -> None:
    """Change what ``dumpsys battery`` says, as ``level="12"``; underscores stand for spaces."""
    named = {key.replace("_", " "): value for key, value in changes.items()}
    phone.request("write", path="dev/dumpsys/battery", text=rootfs.battery(named))


def set_screen(phone: VirtualPhone, *, on: bool) -> None:
    """Turn the screen on or off."""
    text = f"Power Manager State:\n  mWakefulness={'Awake' if on else 'Asleep'}\n"
    phone.request("write", path="dev/dumpsys/power", text=text)


def set_power_saving(phone: VirtualPhone, *, on: bool) -> None:
    """Turn power saving on or off."""
    phone.request("write", path="dev/settings/global/low_power", text=str(int(on)))


def set_property(phone: VirtualPhone, name: str, value: str) -> None:
    """Give a system property any value, hostile ones included."""
    phone.request("write", path=f"dev/properties/{name}", text=value)


def set_clock_offset(phone: VirtualPhone, seconds: int) -> None:
    """Move the wall clock that ``date`` shows."""
    phone.request("write", path="dev/clock_offset_s", text=str(seconds))


def hang_dumpsys(phone: VirtualPhone, *, hanging: bool) -> None:
    """Make every dumpsys hang for ever, as a stuck system server does."""
    if hanging:
        phone.request("write", path="dev/dumpsys/hang", text="")
    else:
        phone.request("remove", path="dev/dumpsys/hang")


def leave_free(phone: VirtualPhone, free_bytes: int) -> None:
    """Fill the data partition until only so many bytes are free."""
    phone.request("fill", free_bytes=free_bytes)


def make_room(phone: VirtualPhone) -> None:
    """Undo ``leave_free``."""
    phone.request("make_room")


def remount_data(phone: VirtualPhone, *, noexec: bool = False, read_only: bool = False) -> None:
    """Mount the data partition so that programs cannot run there, or nothing can be written."""
    options = ["nosuid", "nodev", *(["noexec"] if noexec else []), *(["ro"] if read_only else [])]
    phone.request("remount", options=",".join(options))


def set_network(phone: VirtualPhone, *, up: bool) -> None:
    """Take the phone off the network or bring it back; connections are not told."""
    phone.request("network", up=up)


def kill_daemon(phone: VirtualPhone) -> None:
    """Kill adbd, as a pulled cable does: its commands end, detached runs go on."""
    phone.request("kill")


def start_daemon(phone: VirtualPhone, *, as_root: bool = False) -> None:
    """Start adbd again; ``as_root`` is what ``adb root`` does on a phone that allows it."""
    phone.request("start", as_root=as_root)


def freeze_daemon(phone: VirtualPhone) -> None:
    """Stop adbd without ending it: connections stay open and nothing is answered."""
    phone.request("freeze")


def thaw_daemon(phone: VirtualPhone) -> None:
    """Let a frozen adbd go on."""
    phone.request("thaw")


def reboot(phone: VirtualPhone) -> None:
    """End everything that runs on the phone and start it anew; its files stay."""
    phone.request("reboot")
