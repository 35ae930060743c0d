"""The latencies that the paper's authors print, to stand beside ours.

They are read as plain data; no model is imported. The printed table states neither input size,
runtime nor threads, so the ratios can be compared, the milliseconds hardly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

__all__ = ["PrintedLatency", "find_printed", "plain_name", "printed_latencies"]

TABLE = "Inference Latency"

# A registered name that is not the printed one less punctuation. The table does not say which
# of the paper's two forms of MobileNetV3 it means, so both stand beside it.
_ALIASES = {"mobilenetv3largeset2": "mobilenetv3large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedLatency:
    """One row of the printed table.

    Attributes:
        model: As printed.
        variant: ``orig`` or ``ours``.
        latency_ms: Device, as printed, to milliseconds.
    """

    model: str
    variant: str
    latency_ms: Mapping[str, float]


def printed_latencies(source: Traversable | None = None) -> tuple[PrintedLatency, ...]:
    """Return the rows of the printed table; none where the file is not installed.

    Args:
        source: The file of the paper's tables; the installed one by default.
    """
    source = source or resources.files("pfd_models") / "paper" / "golden.json"
    if not source.is_file():
        return ()
    rows = json.loads(source.read_text(encoding="utf-8"))
    return tuple(
        PrintedLatency(
            model=row["model"],
            variant=row["variant"],
            latency_ms={
                device: float(printed.removesuffix("ms"))
                for device, printed in row["readme_latency"].items()
            },
        )
        for row in rows
        if row["table"] == TABLE
    )


def find_printed(
    printed: tuple[PrintedLatency, ...], model: str, variant: str
) -> PrintedLatency | None:
    """Return the row of a model and variant, or None where the paper prints none."""
    wanted = plain_name(model)
    wanted = _ALIASES.get(wanted, wanted)
    for row in printed:
        if plain_name(row.model) == wanted and row.variant == variant:
            return row
    return None


def plain_name(name: str) -> str:
    """Return a network's name without what sources write differently: case and punctuation."""
    return "".join(c for c in name.lower() if c.isalnum())
