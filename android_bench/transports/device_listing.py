"""What an adb server lists: a line for each device, read from its end.

A line is the serial, padded to 22 columns, the state, and facts of the form ``key:value`` with
the transport's number last. A serial may hold spaces and parentheses, as that of a second phone
of one name found by mDNS does: ``adb-R5CT123 (2)._adb-tls-connect._tcp``. adb puts the number at
the end so that a line can be taken apart from there, and so it is here.

Source: ``packages/modules/adb/transport.cpp`` in AOSP (``append_transport``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ListedDevice", "parse_listing"]

_FACT = re.compile(r"(?<=\S)\s+(?:usb|product|model|device|transport_id):\S*$")
# The one state of several words; what follows says why, and depends on the system.
_NO_PERMISSIONS = re.compile(r"(.*\S)\s+(no permissions\b.*)")
_STATE = re.compile(r"(.*\S)\s+(\S+)")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """A device as a list shows it.

    Attributes:
        serial: To name it by, exactly as the server knows it.
        state: ``device`` when usable; else as the adb server says, as ``unauthorized``.
        description: Model and port where known.
        via: ``adb-server`` or ``usb``.
    """

    serial: str
    state: str
    description: str
    via: str


def parse_listing(text: str) -> list[ListedDevice]:
    """Read the answer to ``host:devices-l`` or ``host:devices``; every line with a word is one."""
    return [_parse_line(line) for line in text.split("\n") if line.strip()]


def _parse_line(line: str) -> ListedDevice:
    head, facts = line.rstrip(), []
    while fact := _FACT.search(head):
        facts.append(fact[0].strip())
        head = head[: fact.start()]
    serial, state = head.strip(), _UNKNOWN
    if match := _NO_PERMISSIONS.fullmatch(head):
        serial, state = match[1], "no permissions"
        facts.append(match[2])
    elif match := _STATE.fullmatch(head):
        serial, state = match[1], match[2]
    description = " ".join(reversed(facts))
    return ListedDevice(serial=serial, state=state, description=description, via="adb-server")
