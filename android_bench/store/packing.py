"""Raw samples as compact bytes.

Neighbouring latencies differ little, so differences are stored; they are small numbers in
eight bytes, so bytes of equal weight are put side by side, where zlib finds the zeros.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from pfd_models.errors import IntegrityError

__all__ = ["pack_int16", "pack_int64", "unpack_int16", "unpack_int64"]


def pack_int64(values: NDArray[np.int64]) -> bytes:
    """Return the bytes of a row of 64-bit integers."""
    steps = np.diff(values, prepend=np.int64(0)).astype("<i8")
    planes = np.ascontiguousarray(steps.view(np.uint8).reshape(-1, 8).T)
    return zlib.compress(planes.tobytes(), 9)


def unpack_int64(packed: bytes, count: int) -> NDArray[np.int64]:
    """Return the (count,) int64 row that was packed.

    Raises:
        IntegrityError: The bytes are damaged or hold another number of values.
    """
    planes = np.frombuffer(_decompress(packed, 8, count), np.uint8).reshape(8, count)
    steps = np.ascontiguousarray(planes.T).view("<i8").reshape(count)
    return np.cumsum(steps, dtype=np.int64)


def pack_int16(values: NDArray[np.int16]) -> bytes:
    """Return the bytes of a row of 16-bit integers."""
    return zlib.compress(values.astype("<i2").tobytes(), 9)


def unpack_int16(packed: bytes, count: int) -> NDArray[np.int16]:
    """Return the (count,) int16 row that was packed.

    Raises:
        IntegrityError: The bytes are damaged or hold another number of values.
    """
    return np.frombuffer(_decompress(packed, 2, count), "<i2").astype(np.int16)


def _decompress(packed: bytes, width: int, count: int) -> bytes:
    if not isinstance(packed, bytes) or not isinstance(count, int) or count < 0:
        raise IntegrityError("stored samples are damaged: they are no bytes; restore a backup")
    size, stream = width * count, zlib.decompressobj()
    try:
        raw = stream.decompress(packed, size + 1)  # damaged, they may unpack to gigabytes
    except zlib.error as error:
        raise IntegrityError(f"stored samples are damaged: {error}; restore a backup") from error
    if len(raw) != size or not stream.eof:
        raise IntegrityError(
            f"stored samples are damaged: {len(raw)} bytes instead of {size}; restore a backup"
        )
    return raw
