"""Errors of the phone side; all end a command with one clear line.

Below the root of ``pfd_models.errors``::

    DeviceError                  3   the device or environment: worth retrying
    |- NoDeviceError                 no device, several and none named, or the named one is absent
    |- UnauthorizedError             the device is waiting for a tap on its screen
    |- ConnectionLostError           the connection ended or could not be made
    |- DeviceTimeoutError            no answer within the time that was allowed
    |- StorageError                  the device's folder is full, read-only or cannot run programs
    |- TransferError                 a file did not arrive whole
    |- ProtocolError                 an answer that its protocol does not allow
    |- UnfitDeviceError              the wrong ABI, or too old
    `- VirtualPhoneError             this machine cannot start the virtual phone

The classes tell apart what a caller does about each: a lost connection is made again, a full
device is not.

What a device says about itself goes into messages by way of `one_line`: it may be anything.
"""

from __future__ import annotations

from pfd_models.errors import DeviceError

__all__ = [
    "ConnectionLostError",
    "DeviceTimeoutError",
    "NoDeviceError",
    "ProtocolError",
    "StorageError",
    "TransferError",
    "UnauthorizedError",
    "UnfitDeviceError",
    "VirtualPhoneError",
    "one_line",
]

_LONGEST = 120


class NoDeviceError(DeviceError):
    """No device, several with none named, or the one that was named is not there."""


class UnauthorizedError(DeviceError):
    """The device has not yet allowed this computer's key."""


class ConnectionLostError(DeviceError):
    """The connection to the device ended or could not be made."""


class DeviceTimeoutError(DeviceError):
    """The device did not answer within the time that was allowed."""


class StorageError(DeviceError):
    """A folder on the device is full, read-only, missing or cannot run programs."""


class TransferError(DeviceError):
    """A file did not arrive whole."""


class ProtocolError(DeviceError):
    """What came is no answer of the protocol: nonsense, or more than it allows."""


class UnfitDeviceError(DeviceError):
    """The device cannot run what would be pushed to it."""


class VirtualPhoneError(DeviceError):
    """This machine cannot start the virtual phone; the message says what is missing."""


def one_line(text: str) -> str:
    """Return a device's string on one line, without control characters, of bearable length."""
    # Cut before the look at every character: it may be megabytes.
    line = "".join(c if c.isprintable() else " " for c in text[: 16 * _LONGEST])
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
