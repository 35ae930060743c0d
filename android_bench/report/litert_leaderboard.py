"""The rows of Google's LiteRT leaderboard, ``board.json``, as results of others.

A row is ``benchmark_model`` on a phone of a laboratory. It says neither which core ran nor how
many threads, at which clock and temperature, nor the input's size, and has no interval: so it can
stand beside a measurement of ours and decide nothing.

Source: google-ai-edge/litert-samples, ``benchmark/leaderboard/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from android_bench.records import ForeignResult
from pfd_models.errors import InputError
from pfd_models.plain_data import decode_json, from_plain

__all__ = ["SOURCE", "read_leaderboard"]

SOURCE = "litert-leaderboard"

_MEASURED = "measured"
_SILENT_ABOUT = ("core", "threads", "clock", "temperature", "input size", "interval")


@dataclass(frozen=True, kw_only=True)
class _Latency:
    median: float | None = None
    p95: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Row:
    row_id: str
    model: str
    file: str
    device: str
    os: str | None = None
    accelerator: str
    delegate: str | None = None
    latency_ms: _Latency
    runs: int | None = None
    runtime: str = "litert"
    runtime_version: str | None = None
    date: str


@dataclass(frozen=True, kw_only=True)
class _Board:
    rows: list[dict[str, Any]] = field(default_factory=list)


def read_leaderboard(path: Path) -> tuple[ForeignResult, ...]:
    """Return the measured rows of a board, in its order.

    Raises:
        InputError: The file cannot be read, is no such board, or has no measured row.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"cannot read {path}: {reason}; give the leaderboard's board.json"
        ) from error
    board = decode_json(_Board, text, what=str(path), strict=False)
    found = tuple(
        row
        for number, plain in enumerate(board.rows)
        if (row := _read_row(plain, f"{path}, rows[{number}]")) is not None
    )
    if not found:
        raise InputError(
            f"{path} has {len(board.rows)} rows and none with a measured latency: give the "
            "leaderboard's board.json"
        )
    return found


def _read_row(plain: Mapping[str, Any], where: str) -> ForeignResult | None:
    """Return a row; None where it has no measured latency, whatever else it lacks."""
    if plain.get("status", _MEASURED) != _MEASURED or plain.get("latency_ms") is None:
        return None
    row = from_plain(_Row, plain, what=where, strict=False)
    if row.latency_ms.median is None:
        return None
    try:
        return _foreign(row, row.latency_ms.median, row.latency_ms.p95)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _foreign(row: _Row, median_ms: float, p95_ms: float | None) -> ForeignResult:
    return ForeignResult(
        source=SOURCE,
        row_id=row.row_id,
        measured_on=row.date,
        model=row.model,
        file=row.file,
        device=row.device,
        os=row.os or "",
        accelerator=row.accelerator,
        delegate=row.delegate or "",
        median_ms=median_ms,
        p95_ms=p95_ms,
        runs=row.runs,
        runtime=f"{row.runtime} {row.runtime_version or ''}".strip(),
        silent_about=_SILENT_ABOUT,
    )
