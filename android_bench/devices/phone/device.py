"""A phone as the device of a campaign: the same walk as on the host, over a transport.

Opening one: connect, look what it is, lock it, end what a dead bench left, bring the harness,
ask it. The virtual phone is a phone like any other here.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from android_bench.devices.cores import cpu_list
from android_bench.devices.phone.cache import ROOT, Bundle, load_bundle, push_bundle, upload_file
from android_bench.devices.phone.choice import open_transport
from android_bench.devices.phone.governor import use_governor
from android_bench.devices.phone.held_settings import HeldSettings
from android_bench.devices.phone.launcher import (
    RECONNECT_S,
    PhoneLauncher,
    clear_runs,
    with_reconnect,
)
from android_bench.devices.phone.lock import Lock, locked
from android_bench.devices.phone.profile import PhoneProfile, read_profile
from android_bench.devices.phone.readiness import require_abi, require_runs
from android_bench.devices.phone.state import PhoneState, read_state
from android_bench.devices.watch import Watch, watch_block
from android_bench.harness.client import Harness, describe
from android_bench.native_build.build import build_harness
from android_bench.records import Cluster, DeviceRecord, Limits, Reading
from android_bench.transports import Transport, delivery
from pfd_models.errors import InputError
from pfd_models.plain_data import decode_json

__all__ = ["PhoneDevice", "device_record", "open_phone", "phone_device"]

TARGET = "linux-arm64"
Say = Callable[[str], None]


def _silent(text: str) -> None:
    """Say nothing."""


def open_phone(
    serial: str | None = None, *, target: str = TARGET, say: Say = _silent
) -> PhoneDevice:
    """Connect to a phone and make it ready.

    Args:
        serial: As `transports.open_transport` takes it.
        target: What the harness is built for.
        say: Hears what takes a moment.

    Raises:
        DeviceError: No such phone, it cannot run the harness, or another bench uses it.
    """
    say("connecting")
    transport = open_transport(serial)
    try:
        return phone_device(transport, target=target, say=say)
    except BaseException:
        transport.close()
        raise


def phone_device(
    transport: Transport,
    *,
    target: str = TARGET,
    say: Say = _silent,
    reconnect_s: float = RECONNECT_S,
) -> PhoneDevice:
    """Make a phone ready that is connected already; see `open_phone`."""
    profile = read_profile(transport)
    require_abi(profile)
    with contextlib.ExitStack() as opened:
        lock = opened.enter_context(locked(transport))
        clear_runs(transport)
        delivery.require_runnable(transport.run, ROOT)
        bundle = load_bundle(build_harness(target))
        require_runs(profile, bundle.local / "pfd_bench")
        push_bundle(transport, bundle, say, reconnect_s)
        launch = PhoneLauncher(transport=transport, reconnect_s=reconnect_s, keep_alive=lock.renew)
        harness = describe(bundle.command, launch=launch)
        device = PhoneDevice(transport, profile, harness, bundle, lock, opened.pop_all())
    device.reconnect_s = reconnect_s
    return device


class PhoneDevice:
    """A phone that is locked, with its harness on it.

    Attributes:
        profile: What it said when it was opened.
        bundle: What was brought to it.
        reconnect_s: How long it may be gone before the bench gives up.
    """

    def __init__(
        self,
        transport: Transport,
        profile: PhoneProfile,
        harness: Harness,
        bundle: Bundle,
        lock: Lock,
        opened: contextlib.ExitStack,
    ) -> None:
        self.profile = profile
        self.bundle = bundle
        self.reconnect_s = RECONNECT_S
        self._transport = transport
        self._harness = harness
        self._record = device_record(profile)
        self._lock = lock
        self._opened = opened
        self._state: PhoneState | None = None
        self._clock: tuple[str, int] | None = None
        self._held: HeldSettings | None = None
        self._uploaded: set[str] = set()

    @property
    def record(self) -> DeviceRecord:
        """What it is."""
        return self._record

    @property
    def harness(self) -> Harness:
        """The harness on it."""
        return self._harness

    @property
    def usable_cpus(self) -> tuple[int, ...]:
        """The cores that are online and that its shell may use."""
        line = self._run("grep Cpus_allowed_list /proc/self/status")
        allowed = cpu_list(line.rpartition(":")[2])
        online = self.profile.online or self.profile.cpus
        return tuple(cpu for cpu in allowed if cpu in online)

    def read(self) -> Reading:
        """Take a reading, and tell the phone's lock and held settings that this bench lives."""
        with_reconnect(self._transport, self._lock.renew, self.reconnect_s)
        if self._held is not None:
            self._held.keep_alive()
        return self._to_reading(self._state_now())

    def watch(self, limits: Limits, *, patience_s: float) -> AbstractContextManager[Watch]:
        """Wait until it is calm and watch a block, with a look at the phone before and after."""
        return watch_block(
            self.read,
            limits,
            patience_s=patience_s,
            serial=self._record.serial,
            read_after=lambda: self._to_reading(self._state_now()),
            sleep=self._transport.cancellation.sleep,
        )

    def upload(self, path: Path) -> str:
        """Bring a file to its cache; what was brought before stays."""
        remote = with_reconnect(
            self._transport,
            lambda: upload_file(self._transport, path, in_use=self._uploaded),
            self.reconnect_s,
        )
        self._uploaded.add(remote)
        return remote

    def hold_governor(self, wanted: str) -> None:
        """Hold the clocks of all cores until the phone is closed; then they are put back.

        Args:
            wanted: ``performance`` or ``fixed:KHZ``; see `governor.use_governor`.

        Raises:
            InputError: The kernel does not offer it.
            DeviceError: The phone is not rooted, or did not take it.
        """
        held = use_governor(self._transport, self.profile, wanted)
        self._held = self._opened.enter_context(held)

    def give_up_lock(self) -> None:
        """Let another bench use it."""
        self._opened.close()

    def close(self) -> None:
        """Give up the lock and the connection; the cache stays."""
        self.give_up_lock()
        self._transport.close()

    def _run(self, command: str) -> str:
        result = with_reconnect(
            self._transport, lambda: self._transport.run(command), self.reconnect_s
        )
        return result.stdout

    def _state_now(self) -> PhoneState:
        return with_reconnect(
            self._transport, lambda: read_state(self._transport), self.reconnect_s
        )

    def _to_reading(self, state: PhoneState) -> Reading:
        before, self._state = self._state, state
        return state.reading(before, self._slept_ns(state.boot_id))

    def _slept_ns(self, boot_id: str) -> int:
        """Return how far the time since boot is ahead of CLOCK_MONOTONIC, once per boot.

        A shell can read only the former; the harness tells the latter even when it refuses.
        """
        if self._clock is None or self._clock[0] != boot_id:
            program = shlex.join([*self._harness.command, "--clock"])
            said = self._run(f"cut -d' ' -f1 /proc/uptime; {program} 2>/dev/null").split("\n", 1)
            ahead = _clock_difference(said[0], said[1] if len(said) > 1 else "")
            # Less than a second is the time it took to ask.
            self._clock = (boot_id, max(0, ahead) if abs(ahead) > 1_000_000_000 else 0)
        return self._clock[1]


def _clock_difference(uptime: str, line: str) -> int:
    """Return the time since boot less the harness's clock, in ns; 0 where they do not tell."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", uptime.strip()):
        return 0
    try:
        clock = decode_json(_Clock, line, what="the clock", strict=False)
    except InputError:
        return 0
    return round(float(uptime) * 1e9) - clock.at_ns


@dataclass(frozen=True, slots=True)
class _Clock:
    """What ``pfd_bench --clock`` says."""

    at_ns: int


def device_record(profile: PhoneProfile) -> DeviceRecord:
    """Return what the store keeps of a phone."""
    level = f" (API {profile.sdk})" if profile.sdk is not None else ""
    return DeviceRecord(
        serial=profile.serial,
        kind="android",
        model=profile.model,
        manufacturer=profile.manufacturer,
        soc=profile.soc,
        abi=profile.abi,
        os=f"Android {profile.android or 'unknown'}{level}",
        kernel=profile.kernel or "unknown",
        cpu_count=max(1, len(profile.cpus)),
        memory_kib=profile.memory_kib,
        clusters=tuple(
            Cluster(
                cpus=cluster.cpus,
                core=cluster.core,
                min_khz=cluster.min_khz,
                max_khz=cluster.max_khz,
                governor=cluster.governor,
            )
            for cluster in profile.clusters
        ),
        thermal_zones=tuple(sorted(set(profile.thermal_zones))),
        virtual=profile.virtual,
    )
