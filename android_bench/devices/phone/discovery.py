"""The phones that can be seen, and what stands in the way of measuring on each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from android_bench.devices.answers import one_line
from android_bench.devices.phone.choice import list_devices, open_transport
from android_bench.devices.phone.profile import PhoneProfile, read_profile
from android_bench.devices.phone.readiness import find_issues, require_abi
from pfd_models.errors import DeviceError

__all__ = ["FoundPhone", "look_for_phones", "phone_lines", "usable_serials"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhone:
    """A phone that can be seen.

    Attributes:
        serial: To name it by, exactly as it is listed.
        profile: What it is; None where it does not say.
        problem: Why it cannot be used; empty where it can.
    """

    serial: str
    profile: PhoneProfile | None
    problem: str


def look_for_phones() -> list[FoundPhone]:
    """Return every phone that is connected, and the virtual one where it is up."""
    serials = [one.serial for one in list_devices()]
    return [_look(serial) for serial in serials + (["virtual"] if _virtual_is_up() else [])]


def usable_serials() -> list[str]:
    """Return the serials of all phones that answer.

    Raises:
        DeviceError: None is connected, or none is usable; says why.
    """
    seen = list_devices()
    usable = [one.serial for one in seen if one.state == "device"]
    if not usable:
        open_transport(None).close()  # says what is wrong
    return usable


def _virtual_is_up() -> bool:
    from android_bench.virtual_phone import phone

    return phone.find(phone.DEFAULT_NAME) is not None


def _look(serial: str) -> FoundPhone:
    profile = None
    try:
        transport = open_transport(serial)
        try:
            profile = read_profile(transport)
            require_abi(profile)
        finally:
            transport.close()
    except DeviceError as error:
        return FoundPhone(serial=serial, profile=profile, problem=str(error))
    return FoundPhone(serial=serial, profile=profile, problem="")


def phone_lines(phones: Iterable[FoundPhone]) -> list[str]:
    """Return the list for the reader."""
    lines: list[str] = []
    for phone in phones:
        lines += _lines(phone)
    if not lines:
        lines.append(
            "no phone is connected: plug one in with USB debugging on, give --serial HOST:PORT "
            "for one on the network, or try --device virtual"
        )
    return lines


def _lines(phone: FoundPhone) -> list[str]:
    name = one_line(phone.serial) or "a phone without a serial"
    if phone.profile is None:
        return [f"{name}: {phone.problem}"]
    lines = [f"{name}: {describe_phone(phone.profile)}"]
    if phone.problem:
        return [*lines, f"  unusable: {phone.problem}"]
    issues = [f"  {issue.what}: {issue.advice}" for issue in find_issues(phone.profile)]
    return lines + (issues or ["  ready for a good measurement"])


def describe_phone(profile: PhoneProfile) -> str:
    """Return a phone in one line."""
    clusters = " + ".join(
        f"{len(cluster.cpus)} x {cluster.core or 'core'}"
        + (f" at {cluster.max_khz / 1e6:.2f} GHz" if cluster.max_khz else "")
        for cluster in reversed(profile.clusters)
    )
    system = f"Android {profile.android}" if profile.android else f"Linux {profile.kernel}"
    name = f"{profile.manufacturer} {profile.model}"
    return f"{name}, {profile.soc}, {profile.abi}, {system}, {clusters}"
