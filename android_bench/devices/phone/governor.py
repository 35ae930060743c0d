"""The clocks of a rooted phone, held for a campaign and put back whatever happens.

Source: the kernel's documentation of cpufreq in sysfs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from android_bench.devices.answers import files, one_line, whole_number
from android_bench.devices.cores import CPU_FOLDER
from android_bench.devices.phone.held_settings import (
    SILENCE_S,
    HeldSettings,
    hold_settings,
    require_root,
    run_as_root,
)
from android_bench.devices.phone.profile import PhoneProfile
from android_bench.errors import UnfitDeviceError
from android_bench.transports import Transport
from pfd_models.errors import InputError

__all__ = ["use_governor"]

_RANGES = ("cpuinfo_min_freq", "cpuinfo_max_freq", "scaling_min_freq", "scaling_max_freq")
_CHOICES = ("scaling_available_governors", "scaling_available_frequencies")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """Cores that share one clock, as the kernel offers to set it.

    Attributes:
        folder: In ``/sys``.
        governors: To choose from.
        frequencies_khz: To choose from, ascending; empty where the kernel lists none.
        range_khz: Lowest and highest of the hardware.
        now_khz: Lowest and highest that are allowed now.
    """

    folder: str
    governors: tuple[str, ...]
    frequencies_khz: tuple[int, ...]
    range_khz: tuple[int, int]
    now_khz: tuple[int, int]

    @property
    def name(self) -> str:
        """The folder's own name, as ``policy4``."""
        return self.folder.rpartition("/")[2]

    def nearest(self, khz: int) -> int:
        """Return the highest clock it offers that is not above, else its lowest."""
        if not self.frequencies_khz:
            return min(max(khz, self.range_khz[0]), self.range_khz[1])
        below = [offered for offered in self.frequencies_khz if offered <= khz]
        return below[-1] if below else self.frequencies_khz[0]


@contextlib.contextmanager
def use_governor(
    transport: Transport, profile: PhoneProfile, wanted: str, *, silence_s: int = SILENCE_S
) -> Iterator[HeldSettings]:
    """Hold the clocks of all clusters within a ``with`` block.

    Args:
        transport: The device.
        profile: Says whether it is rooted.
        wanted: ``performance`` for the highest clock there is, or ``fixed:KHZ`` for one that at
            least one cluster offers; a cluster that does not is held at its nearest below.
        silence_s: After how long without a sign of the host the device restores by itself.

    Raises:
        UnfitDeviceError: The device is not rooted, or its kernel lets nobody set clocks.
        InputError: The kernel does not offer what is wanted; says what it offers.
        DeviceError: A value was not taken; what was changed before is put back.
    """
    require_root(profile)
    policies = _read_policies(transport, profile)
    values = _governor_values(policies, wanted)
    with hold_settings(transport, profile, values, silence_s=silence_s) as held:
        yield held


def _read_policies(transport: Transport, profile: PhoneProfile) -> list[_Policy]:
    paths = " ".join(f"{CPU_FOLDER}/cpufreq/policy*/{name}" for name in (*_RANGES, *_CHOICES))
    content = files(run_as_root(transport, profile, f"grep -sH '' {paths}").stdout)
    folders = {path.rpartition("/")[0] for path in content}
    found = []
    for folder in sorted(folders, key=lambda folder: (len(folder), folder)):
        if not re.fullmatch(rf"{CPU_FOLDER}/cpufreq/policy[0-9]{{1,4}}", folder):
            continue
        numbers = [whole_number(content.get(f"{folder}/{name}", "")) for name in _RANGES]
        low, high, now_low, now_high = numbers
        if low is None or high is None or now_low is None or now_high is None:
            continue
        offered = content.get(f"{folder}/scaling_available_frequencies", "").split()
        frequencies = {khz for text in offered if (khz := whole_number(text)) is not None}
        found.append(
            _Policy(
                folder=folder,
                governors=tuple(content.get(f"{folder}/scaling_available_governors", "").split()),
                frequencies_khz=tuple(sorted(frequencies)),
                range_khz=(low, high),
                now_khz=(now_low, now_high),
            )
        )
    if not found:
        raise UnfitDeviceError(
            f"the kernel of {profile.serial} offers no clock to set ({CPU_FOLDER}/cpufreq): leave "
            f"--governor out"
        )
    return found


def _governor_values(policies: Sequence[_Policy], wanted: str) -> dict[str, str]:
    """Return path to value, in the order in which they are to be written."""
    kind, separator, khz_text = wanted.partition(":")
    if kind == "fixed" and separator:
        return _fixed_values(policies, khz_text)
    if wanted != "performance":
        raise InputError(
            f"governor {one_line(wanted)!r} is not understood: give performance or fixed:KHZ"
        )
    for policy in policies:
        if wanted not in policy.governors:
            offered = one_line(" ".join(policy.governors)) or "none"
            raise InputError(
                f"the kernel offers no governor {wanted!r} for {policy.name} (it has {offered}): "
                f"give fixed:KHZ"
            )
    return {f"{policy.folder}/scaling_governor": wanted for policy in policies}


def _fixed_values(policies: Sequence[_Policy], khz_text: str) -> dict[str, str]:
    khz = whole_number(khz_text)
    if khz is None or khz not in {policy.nearest(khz) for policy in policies}:
        offered = "; ".join(f"{policy.name}: {_offer(policy)}" for policy in policies)
        raise InputError(f"no cluster runs at {one_line(khz_text)!r} kHz: give one of {offered}")
    values = {}
    for policy in policies:
        value = policy.nearest(khz)
        pair = [f"{policy.folder}/scaling_max_freq", f"{policy.folder}/scaling_min_freq"]
        # The kernel keeps the lowest at or below the highest, at every step.
        values.update(dict.fromkeys(pair if value >= policy.now_khz[0] else pair[::-1], str(value)))
    return values


def _offer(policy: _Policy) -> str:
    if policy.frequencies_khz:
        return " ".join(map(str, policy.frequencies_khz))
    return f"{policy.range_khz[0]} to {policy.range_khz[1]}"
