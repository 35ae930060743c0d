"""Errors of the phone side; all end a command with one clear line.

Below the root of ``pfd_models.errors``::

    DeviceError                  3   the device or environment: worth retrying
    |- NoDeviceError                 no device, several and none named, or the named one is absent
    |- UnauthorizedError             the device is waiting for a tap on its screen
    |- ConnectionLostError           the connection ended or could not be made
    |- DeviceTimeoutError            no answer within the time that was allowed
    |- StorageError                  the device's folder is full, read-only or cannot run programs
    |- TransferError                 a file did not arrive whole
    |- UnfitDeviceError              the wrong ABI, or too old
    `- VirtualPhoneError             this machine cannot start the virtual phone

The classes tell apart what a caller does about each: a lost connection is made again, a full
device is not.
"""

from __future__ import annotations

from pfd_models.errors import DeviceError

__all__ = [
    "ConnectionLostError",
    "DeviceTimeoutError",
    "NoDeviceError",
    "StorageError",
    "TransferError",
    "UnauthorizedError",
    "UnfitDeviceError",
    "VirtualPhoneError",
]


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


class UnfitDeviceError(DeviceError):
    """The device cannot run what would be pushed to it."""


class VirtualPhoneError(DeviceError):
    """This machine cannot start the virtual phone; the message says what is missing."""
