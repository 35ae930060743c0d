"""What the counter writes, as types: one line of names, then one for each inference."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from android_bench.records import Counts, HotBlock
from pfd_models.errors import DeviceError
from pfd_models.plain_data import decode_json

__all__ = ["CountedInference", "Segment", "read_counts"]


class _Names(Struct):
    counters: tuple[str, ...]


class _Block(Struct):
    address: int
    runs: int
    words: tuple[int, ...]


class _Segment(Struct):
    at: int
    counts: tuple[int, ...]
    l1_misses: int
    l2_misses: int
    lines: int
    stored: int


class _Inference(Struct):
    inference: int
    segments: tuple[_Segment, ...]
    blocks: tuple[_Block, ...]
    different_blocks: int
    counts: tuple[int, ...]
    l1_misses: int
    l2_misses: int
    lines: int


class Segment(Struct, frozen=True):
    """What ran between two marks.

    Attributes:
        at: The address that the mark at its end told; 0 for the end of the inference.
        stored: Where the first store after that mark went.
        counts: What ran.
    """

    at: int
    stored: int
    counts: Counts


class CountedInference(Struct, frozen=True):
    """One inference between its marks; offsets of its blocks are addresses still."""

    counts: Counts
    segments: tuple[Segment, ...]
    blocks: tuple[HotBlock, ...]


def read_counts(path: Path) -> list[CountedInference]:
    """Read the counter's file; none where it was never begun.

    Raises:
        DeviceError: It is damaged.
    """
    if not path.is_file():
        return []
    first, *lines = path.read_text().splitlines()
    what = "the counter's file"
    names = decode_json(_Names, first, what=what, error=DeviceError).counters
    return [
        _inference(names, decode_json(_Inference, line, what=what, error=DeviceError))
        for line in lines
    ]


def _inference(names: tuple[str, ...], line: _Inference) -> CountedInference:
    return CountedInference(
        counts=_counts(names, line),
        segments=tuple(
            Segment(at=s.at, stored=s.stored, counts=_counts(names, s)) for s in line.segments
        ),
        blocks=tuple(
            HotBlock(
                file="",
                offset=block.address,
                runs=block.runs,
                code="".join(f"{word:08x}" for word in block.words),
            )
            for block in line.blocks
        ),
    )


def _counts(names: tuple[str, ...], line: _Inference | _Segment) -> Counts:
    return Counts(
        **dict(zip(names, line.counts, strict=True)),
        l1_misses=line.l1_misses,
        l2_misses=line.l2_misses,
        lines=line.lines,
    )
