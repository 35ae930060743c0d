"""What could not be measured, and whether trying anything else on that device makes sense."""

from __future__ import annotations

from dataclasses import dataclass

from android_bench.errors import (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    StorageError,
    UnauthorizedError,
)
from pfd_models.errors import OutputError, PfdError

__all__ = ["Failure"]

_NOTHING_LEFT_TO_TRY = (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    OutputError,
    StorageError,
    UnauthorizedError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that could not be measured.

    Attributes:
        what: A campaign, or a pass of one of its variants.
        error: Why.
    """

    what: str
    error: PfdError

    @property
    def line(self) -> str:
        """Return both in one line."""
        return f"{self.what}: {self.error}"

    @property
    def ends_the_call(self) -> bool:
        """Whether nothing else can fare better: the device is gone or the store takes no record."""
        return isinstance(self.error, _NOTHING_LEFT_TO_TRY)
