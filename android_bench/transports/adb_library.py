"""What is used of the adb-shell library, all of it: keys, signatures, and phones on USB.

Nothing else in this project imports it. Its names are public ones; it has no stable interface
all the same (its last release renamed arguments), so the version that was tried is the only one
that is taken. The connection and the packets are spoken in ``packets.py`` and ``adb_shell.py``:
the library believes any length that a packet claims, keeps what nobody asked for, mistakes a
short ``send`` for a whole one and spins when the connection has ended.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Protocol

from android_bench.errors import NoDeviceError, one_line
from pfd_models.errors import DeviceError

__all__ = [
    "TRIED_VERSION",
    "Signer",
    "UsbTransport",
    "find_usb_transports",
    "load_signer",
    "make_keys",
    "require_tried_version",
    "usb_errors",
    "write_public_half",
]

TRIED_VERSION = "0.4.4"
_INSTALL = f"`pip install adb-shell=={TRIED_VERSION}`"


class Signer(Protocol):
    """A private key; the names are the library's."""

    def Sign(self, data: bytes) -> bytes:
        """Sign a token of 20 bytes."""

    def GetPublicKey(self) -> bytes:
        """Return the public half as Android writes it."""


class UsbTransport(Protocol):
    """A phone on USB; the names are the library's."""

    @property
    def serial_number(self) -> str:
        """What the phone calls itself; raises where the user may not open it."""

    def connect(self, transport_timeout_s: float | None) -> None:
        """Claim the interface."""

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Return one transfer."""

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send one transfer and return how many bytes went."""

    def close(self) -> None:
        """Release the interface."""


def require_tried_version() -> None:
    """Require the version of adb-shell that this project was tried with.

    Raises:
        DeviceError: Another one is installed, or none.
    """
    try:
        found = metadata.version("adb-shell")
    except metadata.PackageNotFoundError as error:
        raise DeviceError(f"adb-shell is not installed: {_INSTALL}") from error
    if found != TRIED_VERSION:
        raise DeviceError(
            f"adb-shell {one_line(found)} is installed and this bench was tried with "
            f"{TRIED_VERSION} alone: {_INSTALL}"
        )


def load_signer(key: Path) -> Signer:
    """Return the signer of a key whose public half lies beside it.

    Raises:
        OSError: A file cannot be read.
        ValueError, TypeError: The key is damaged or wants a passphrase.
    """
    require_tried_version()
    from adb_shell.auth.sign_cryptography import CryptographySigner

    signer: Signer = CryptographySigner(str(key))
    return signer


def make_keys(key: Path) -> None:
    """Write a new key and its public half, ``NAME.pub``."""
    require_tried_version()
    from adb_shell.auth.keygen import keygen

    keygen(str(key))


def write_public_half(key: Path, to: Path) -> None:
    """Write the public half of a key; raises as `load_signer`."""
    require_tried_version()
    from adb_shell.auth.keygen import write_public_keyfile

    write_public_keyfile(str(key), str(to))


def find_usb_transports() -> list[UsbTransport]:
    """Return every phone on USB.

    Raises:
        NoDeviceError: libusb is missing, or does not work here.
    """
    require_tried_version()
    try:
        from adb_shell.transport.usb_transport import UsbTransport as Found
    except (ImportError, OSError) as error:
        raise NoDeviceError(
            "reaching a phone on USB without the platform adb needs libusb: "
            "`pip install libusb1` and the system's libusb-1.0, or install adb"
        ) from error
    try:
        return list(Found.find_all_adb_devices())
    except usb_errors() as error:
        raise NoDeviceError(f"USB cannot be searched for phones: {one_line(str(error))}") from error


def usb_errors() -> tuple[type[Exception], ...]:
    """Return what a phone on USB raises; nothing where libusb is missing."""
    try:
        import usb1  # type: ignore[import-not-found]  # of the extra `usb`
        from adb_shell import exceptions
    except (ImportError, OSError):
        return ()
    return exceptions.UsbReadFailedError, exceptions.UsbWriteFailedError, usb1.USBError
