"""Opening a device by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from android_bench.devices.device import Device
from android_bench.devices.host import HostDevice
from android_bench.harness.client import describe
from android_bench.native_build.build import build_harness
from pfd_models.errors import InputError, unknown
from pfd_models.operating_system import require_linux

__all__ = ["DEVICES", "open_device"]


def open_host() -> Device:
    """Build the harness for this computer, or take it from the cache, and ask it what it is."""
    require_linux("measuring on this computer")
    return HostDevice(describe([str(build_harness().program)]))


def open_virtual() -> Device:
    """Start the virtual phone, or take the one that is up."""
    from android_bench.devices.phone.device import open_phone  # most calls need no phone

    return open_phone("virtual")


DEVICES: Mapping[str, Callable[[], Device]] = {"host": open_host, "virtual": open_virtual}


def open_device(name: str) -> Device:
    """Connect to a device.

    Raises:
        InputError: There is none of that name.
        DeviceError: It cannot be reached, or no harness can be had for it.
    """
    if name not in DEVICES:
        raise InputError(unknown("device", name, DEVICES))
    return DEVICES[name]()
