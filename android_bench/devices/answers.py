"""Taking a device's answers apart, and making its strings fit to be shown.

A device may say anything: line breaks, escape sequences for the terminal, a megabyte.
"""

from __future__ import annotations

import re

__all__ = ["files", "one_line", "sections", "thermal_status"]

MARK = "@@pfd-section"
_LONGEST = 120


def one_line(text: str) -> str:
    """Return a device's string on one line, without control characters, of bearable length."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


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


def thermal_status(text: str) -> int | None:
    """Read ``dumpsys thermalservice``; 0 is none, 1 light, 2 moderate, up to 6, shutdown."""
    match = re.search(r"^Thermal Status: (\d)\s*$", text, re.MULTILINE)
    return int(match[1]) if match else None
