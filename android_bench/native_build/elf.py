"""Which libraries a program or library of Linux asks its loader for.

Source: System V ABI, chapters 4 (object files) and 5 (program loading and dynamic linking);
64 bits and little endian, as all devices here are.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pfd_models.errors import DeviceError

__all__ = ["needed_libraries"]

# Type, flags, offset, address, physical address, size in the file, size in memory, alignment.
_SEGMENT = struct.Struct("<2I6Q")
_ENTRY = struct.Struct("<2Q")  # tag, value
_LOAD, _DYNAMIC = 1, 2
_END, _NEEDED, _STRINGS = 0, 1, 5


def needed_libraries(path: Path) -> list[str]:
    """Return the names in the file's NEEDED entries, in order; none where it is linked statically.

    Raises:
        DeviceError: It is no 64-bit ELF file, or a damaged one.
    """
    data = path.read_bytes()
    try:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("no 64-bit ELF file")
        (table,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<2H", data, 54)
        segments = [_SEGMENT.unpack_from(data, table + i * size) for i in range(count)]
        return _read_needed(data, segments)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path} is damaged ({error}): build the harness again") from error


def _read_needed(data: bytes, segments: list[tuple[int, ...]]) -> list[str]:
    names: list[int] = []
    strings: int | None = None
    for kind, _, offset, _, _, size, _, _ in segments:
        if kind != _DYNAMIC:
            continue
        for tag, value in _ENTRY.iter_unpack(data[offset : offset + size - size % 16]):
            if tag == _END:
                break
            if tag == _NEEDED:
                names.append(value)
            if tag == _STRINGS:
                strings = _place_in_file(value, segments)
    if not names:
        return []
    if strings is None:
        raise ValueError("it names libraries and has no names")
    return [data[(at := strings + name) : data.index(b"\0", at)].decode("ascii") for name in names]


def _place_in_file(address: int, segments: list[tuple[int, ...]]) -> int:
    for kind, _, offset, start, _, size, _, _ in segments:
        if kind == _LOAD and start <= address < start + size:
            return offset + address - start
    raise ValueError("its names lie in no segment")
