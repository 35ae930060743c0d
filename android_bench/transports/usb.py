"""Phones on USB, as pipes for ADB's packets.

libusb waits in C, where neither Ctrl-C nor a lane's stop is heard; so every transfer is asked for
in slices, and one that ends with a slice goes on where it was.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from android_bench.transports import adb_library
from android_bench.transports.adb_library import UsbTransport
from android_bench.transports.streams import Deadline

__all__ = ["UsbPhone", "UsbPipe", "find_usb_phones"]

_TIMED_OUT = "USBErrorTimeout"  # libusb1's class, which need not be installed


@dataclass(frozen=True, slots=True, kw_only=True)
class UsbPhone:
    """A phone on USB.

    Attributes:
        serial: What it calls itself; empty where this user may not ask.
        transport: To it.
    """

    serial: str
    transport: UsbTransport


def find_usb_phones() -> list[UsbPhone]:
    """Return every phone on USB.

    Raises:
        NoDeviceError: libusb is missing, or does not work here.
    """
    found = []
    for transport in adb_library.find_usb_transports():
        serial = ""
        with contextlib.suppress(*adb_library.usb_errors()):
            serial = transport.serial_number
        found.append(UsbPhone(serial=serial, transport=transport))
    return found


class UsbPipe:
    """Bytes over USB."""

    def __init__(self, transport: UsbTransport) -> None:
        self._transport = transport

    def connect(self, deadline: Deadline) -> None:
        """Claim the phone's interface; see `packets.Pipe`."""
        self.close()
        self._transport.connect(deadline.left_s())

    def read(self, size: int, deadline: Deadline) -> bytes:
        """Return at least one byte."""
        while True:
            try:
                data = self._transport.bulk_read(size, deadline.slice_s())
            except adb_library.usb_errors() as error:
                data = getattr(_timed_out(error), "received", b"")
            if data:
                return bytes(data)

    def write(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Send everything."""
        view = memoryview(data)
        while view:
            try:
                sent = self._transport.bulk_write(bytes(view), deadline.slice_s())
            except adb_library.usb_errors() as error:
                sent = getattr(_timed_out(error), "transferred", 0)
            view = view[sent:]

    def close(self) -> None:
        """Release the interface."""
        with contextlib.suppress(*adb_library.usb_errors()):
            self._transport.close()


def _timed_out(error: Exception) -> Exception:
    """Return libusb's own error when a slice passed; raises any other again."""
    cause = getattr(error, "usb_error", None)
    if type(cause).__name__ != _TIMED_OUT:
        raise error
    assert isinstance(cause, Exception)
    return cause
