"""How inputs are made: right messages, damaged by a recipe, and noise; cut into any pieces.

A recipe is some bytes, each a decision; all zeros damage nothing. Hypothesis makes the bytes, of
many recipes at once, since one example of its own costs more than most of what is tested here;
and it brings a failure's bytes down towards zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ["BATCH", "Input", "batches"]

BATCH = 16
"""Inputs of one example."""

_RECIPE_BYTES = 48
_MOST_DAMAGES = 9
_MAX_BYTES = 400_000
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")

# What code that reads text tends to trip over.
TOKENS = (
    b"",
    b"\0",
    b"\n",
    b"\r",
    b"\n\n",
    b" ",
    b":",
    b",",
    b"-",
    b'"',
    b"\\",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"Infinity",
    b"99999",
    b"255",
    b"256",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1" * 25,
    b"7" * 5000,
    b"0x10",
    b"1_000",
    b"+5",
    b"0-99999",
    b"0-1023,5000-9000",
    "٣٤".encode(),
    "²".encode(),
    "\u202egnirts\u0000".encode(),
    "é😀\ufeff".encode(),
    b"\xff\xfe\xed\xa0\x80",
    b"\x1b]0;title\x07\x1b[31m",
    b"../../etc/passwd",
    b"$(reboot)`id`';",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x01\x00\x10\x00",
    b"x" * 300,
    b"x" * 70_000,
    b"[" * 100_000,
    b'{"a":' * 20_000,
)


@dataclass(frozen=True)
class Input:
    """What a target gets.

    Attributes:
        data: All bytes.
        cuts: Lengths of the pieces in which a stream delivers them; the rest comes in one.
    """

    data: bytes
    cuts: tuple[int, ...]

    @property
    def text(self) -> str:
        """The bytes as text, as a transport's results show them."""
        return self.data.decode(errors="backslashreplace")

    def pieces(self) -> Iterator[bytes]:
        """Return the bytes as a stream delivers them."""
        start = 0
        for length in self.cuts:
            if start < len(self.data):
                yield self.data[start : start + length]
                start += length
        if start < len(self.data):
            yield self.data[start:]


def batches(examples: tuple[bytes, ...]) -> st.SearchStrategy[list[Input]]:
    """Return lists of inputs for a border whose right messages these are."""
    size = BATCH * _RECIPE_BYTES

    def make(recipes: bytes) -> list[Input]:
        starts = range(0, size, _RECIPE_BYTES)
        return [_make(recipes[start : start + _RECIPE_BYTES], examples) for start in starts]

    return st.binary(min_size=size, max_size=size).map(make)


class _Recipe:
    """Decisions, one after the other; after the last everything is zero."""

    def __init__(self, recipe: bytes) -> None:
        self._left = iter(recipe)

    def below(self, count: int) -> int:
        """Return a number below a count, which may be large."""
        byte = next(self._left, 0)
        if count <= 256:
            return byte % count
        return ((byte << 8) | next(self._left, 0)) * count // 65_536


def _make(recipe: bytes, examples: tuple[bytes, ...]) -> Input:
    decisions = _Recipe(recipe)
    kind, damages = decisions.below(16), decisions.below(_MOST_DAMAGES)
    cuts = tuple(decisions.below(40) + 1 for _ in range(decisions.below(5)))
    if kind == 15:
        return Input(data=recipe[: 3 * damages + 8], cuts=cuts)
    data = examples[decisions.below(len(examples))]
    for _ in range(damages):
        if len(data) < _MAX_BYTES:
            data = _DAMAGES[decisions.below(len(_DAMAGES))](data, decisions, examples)
    return Input(data=data, cuts=cuts)


def _flip_bit(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    if not data:
        return data
    place = decisions.below(len(data))
    return data[:place] + bytes([data[place] ^ 1 << decisions.below(8)]) + data[place + 1 :]


def _truncate(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    return data[: decisions.below(len(data) + 1)]


def _delete(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    place = decisions.below(len(data) + 1)
    return data[:place] + data[place + 1 + decisions.below(64) :]


def _duplicate(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    place = decisions.below(len(data) + 1)
    part = data[place : place + 1 + decisions.below(256)]
    return data[:place] + part * (1 + decisions.below(8)) + data[place:]


def _insert_token(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    place = decisions.below(len(data) + 1)
    return data[:place] + TOKENS[decisions.below(len(TOKENS))] + data[place:]


def _overwrite(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    place, token = decisions.below(len(data) + 1), TOKENS[decisions.below(len(TOKENS))]
    return data[:place] + token + data[place + len(token) :]


def _replace_number(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    found = list(_NUMBER.finditer(data[:20_000]))
    if not found:
        return data
    match = found[decisions.below(len(found))]
    return data[: match.start()] + TOKENS[decisions.below(len(TOKENS))] + data[match.end() :]


def _splice(data: bytes, decisions: _Recipe, examples: tuple[bytes, ...]) -> bytes:
    other = examples[decisions.below(len(examples))]
    return data[: decisions.below(len(data) + 1)] + other[decisions.below(len(other) + 1) :]


_DAMAGES = (
    _flip_bit,
    _flip_bit,
    _truncate,
    _delete,
    _duplicate,
    _insert_token,
    _overwrite,
    _replace_number,
    _replace_number,
    _splice,
)
