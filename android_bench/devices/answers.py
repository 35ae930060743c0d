"""Taking a device's answers apart, and reading the numbers in them.

A device may say anything: line breaks, escape sequences for the terminal, a number of a thousand
digits. This is the border: what is behind it has been looked at.
"""

from __future__ import annotations

import re

from android_bench.errors import one_line

__all__ = ["MARK", "files", "one_line", "sections", "thermal_status", "whole_number"]

MARK = "@@pfd-section"
# What every store can hold, and more than any of these numbers is.
_HIGHEST = 2**63 - 1


def sections(text: str) -> dict[str, str]:
    """Take a command's output apart at the lines that name its sections."""
    parts = re.split(rf"^{MARK} (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def files(text: str) -> dict[str, str]:
    """Return path to content from ``grep -H ''`` over files."""
    content: dict[str, list[str]] = {}
    for line in text.splitlines():
        path, separator, rest = line.partition(":")
        if separator and path.startswith("/"):
            content.setdefault(path, []).append(rest)
    return {path: "\n".join(lines).strip() for path, lines in content.items()}


def whole_number(text: str, *, highest: int = _HIGHEST) -> int | None:
    """Return a number of plain digits, or None where it is none or beyond belief.

    Args:
        text: As the device wrote it.
        highest: The largest that is believed.
    """
    # Python's own int() takes digits of every script, underscores, and fails at 4301 digits.
    if not re.fullmatch(r"[0-9]{1,19}", text):
        return None
    number = int(text)
    return number if number <= highest else None


def thermal_status(text: str) -> int | None:
    """Read ``dumpsys thermalservice``; 0 is none, 1 light, 2 moderate, up to 6, shutdown."""
    match = re.search(r"^Thermal Status: ([0-9])\s*$", text, re.MULTILINE)
    return int(match[1]) if match else None
