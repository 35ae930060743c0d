"""Opening a bench: a device with its lock and the store that keeps what is measured on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from android_bench.campaign.bench import Bench, Watcher
from android_bench.cancellation import NEVER, Cancellation
from android_bench.devices.device import Device
from android_bench.devices.opening import open_device
from android_bench.devices.phone.choice import open_transport
from android_bench.devices.phone.device import TARGET, phone_device
from android_bench.records import CampaignRecord, DeviceRecord
from android_bench.statistics.monitor import Decision, Reason
from android_bench.store import device_lock, open_store
from pfd_models.errors import SpecError

__all__ = ["STORE", "QuietWatcher", "open_bench"]

STORE = "bench.sqlite"
"""Where campaigns are kept when nobody says otherwise: beside the user's work."""


class QuietWatcher:
    """A watcher that says nothing."""

    def begin(self, record: CampaignRecord, device: DeviceRecord) -> None:
        """Blocks begin to run."""

    def step(self, text: str) -> None:
        """Something that takes a moment begins."""

    def note(self, text: str) -> None:
        """Something happened that the reader must not miss; the record has it too."""

    def block(self, blocks: int, disturbed: int, decision: Decision, elapsed_s: float) -> None:
        """A block ended."""

    def end(self, reason: Reason) -> None:
        """The campaign ended."""


@contextlib.contextmanager
def open_bench(
    device: str = "host",
    *,
    serial: str = "",
    store: str = STORE,
    target: str = TARGET,
    governor: str = "",
    watch: Watcher | None = None,
    cancellation: Cancellation = NEVER,
) -> Iterator[Bench]:
    """Open a device, its lock and a store, and close them in order, whatever happens.

    Args:
        device: ``host`` for this computer, or ``virtual`` for the virtual phone.
        serial: A phone instead, as ``adb devices`` shows it, or ``HOST:PORT``.
        store: A path or URL.
        target: What phones are built for.
        governor: What a rooted phone's cores are held at meanwhile: ``performance``, or
            ``fixed:KHZ``; empty leaves them as they are.
        watch: Hears how things go; nobody when not given.
        cancellation: Ends every wait for a phone early.

    Raises:
        InputError: An unknown device, a store that cannot be read, or a governor where there is
            no rooted phone.
        DeviceError: The device cannot be reached, is in use, or cannot run the harness.
        OutputError: The store or the lock cannot be written.
    """
    watch = watch or QuietWatcher()
    phone = serial or ("virtual" if device == "virtual" else "")
    if governor and not phone:
        raise SpecError(
            f"--governor {governor} is for rooted phones: leave it out, and set this computer's "
            "own governor with the system's tools"
        )
    with contextlib.ExitStack() as opened:
        opened_store = opened.enter_context(open_store(store))
        watch.step("asking the harness on the device, building it where it is missing")
        if phone:
            opened_device = _open_phone(phone, target, governor, watch, cancellation, opened)
        else:
            opened_device = open_device(device)
            opened.callback(opened_device.close)
        lock = opened.enter_context(device_lock(opened_store, opened_device.record.serial))
        yield Bench(
            device=opened_device, store=opened_store, lock=lock, watch=watch, governor=governor
        )


def _open_phone(
    serial: str,
    target: str,
    governor: str,
    watch: Watcher,
    cancellation: Cancellation,
    opened: contextlib.ExitStack,
) -> Device:
    """Connect to a phone and make it ready; everything is undone with the stack."""
    watch.step("connecting")
    transport = open_transport(serial, cancellation=cancellation)
    opened.callback(transport.close)
    phone = phone_device(transport, target=target, say=watch.step)
    opened.callback(phone.close)
    if governor:
        watch.step(f"setting the governor to {governor}")
        phone.hold_governor(governor)
    return phone
