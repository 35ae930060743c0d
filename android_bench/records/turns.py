"""One heat: processes of several variants, alive at once, that took turns; every sample kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from android_bench.records.field_checks import required
from pfd_models.errors import InputError

__all__ = ["TurnSamples"]

_KINDS: dict[str, type[np.signedinteger[Any]]] = {
    "turn_child": np.int16,
    "turn_first": np.int64,
    "turn_begin_ns": np.int64,
    "turn_end_ns": np.int64,
    "turn_freq_khz": np.int32,
    "samples_ns": np.int64,
    "cpus": np.int16,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnSamples:
    """What the turns of one heat took: turn i has samples turn_first[i] to turn_first[i + 1].

    Times of turns stand here as they were read, even where a clock jumped, so that whoever
    judges the heat can see it. All arrays are read-only.

    Attributes:
        children: Label of each process, by its number.
        turn_child: (t,) int16, number of the process whose turn it was.
        turn_first: (t + 1,) int64, ascending from 0 to n; a turn that was cut short may be empty.
        turn_begin_ns: (t,) int64, CLOCK_MONOTONIC before the first inference of the turn.
        turn_end_ns: (t,) int64, CLOCK_MONOTONIC after its last.
        turn_freq_khz: (t,) int32, frequency of the CPU that the turn ran on; -1 when unknown.
        samples_ns: (n,) int64, duration of every inference, in order, discards included.
        cpus: (n,) int16, the CPU each sample ended on, -1 when unknown.
    """

    children: tuple[str, ...]
    turn_child: NDArray[np.int16]
    turn_first: NDArray[np.int64]
    turn_begin_ns: NDArray[np.int64]
    turn_end_ns: NDArray[np.int64]
    turn_freq_khz: NDArray[np.int32]
    samples_ns: NDArray[np.int64]
    cpus: NDArray[np.int16]

    def __post_init__(self) -> None:
        """Check every field and freeze the arrays.

        Raises:
            InputError: naming the field, its value and the rule that it breaks.
        """
        object.__setattr__(self, "children", tuple(self.children))
        unique = len(set(self.children)) == len(self.children) > 0
        named = all(isinstance(label, str) and label for label in self.children)
        required(self, unique and named, "children", "give each process a label of its own")
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _freeze(name, getattr(self, name), kind))
        turns, samples = len(self.turn_child), len(self.samples_ns)
        for name in ("turn_begin_ns", "turn_end_ns", "turn_freq_khz"):
            _require_length(name, getattr(self, name), turns, "one for each turn")
        _require_length("turn_first", self.turn_first, turns + 1, "one for each turn and the end")
        _require_length("cpus", self.cpus, samples, "one for each sample")
        _require_inside("turn_child", self.turn_child, 0, len(self.children) - 1)
        for name, least in (("turn_begin_ns", 0), ("turn_end_ns", 0), ("turn_freq_khz", -1)):
            _require_inside(name, getattr(self, name), least)
        _require_inside("samples_ns", self.samples_ns, 1)
        _require_inside("cpus", self.cpus, -1)
        if self.turn_first[0] != 0 or self.turn_first[-1] != samples:
            ends = f"{self.turn_first[0]} to {self.turn_first[-1]}"
            raise InputError(f"turn_first goes from {ends}: it must go from 0 to {samples}")
        steps = np.diff(self.turn_first)
        if (steps < 0).any():
            raise InputError(
                f"turn {int(np.argmax(steps < 0))} ends before it begins: see turn_first"
            )

    def __eq__(self, other: object) -> bool:
        """Compare every field, arrays by content."""
        if not isinstance(other, TurnSamples):
            return NotImplemented
        same = (np.array_equal(getattr(self, name), getattr(other, name)) for name in _KINDS)
        return self.children == other.children and all(same)

    __hash__ = None  # type: ignore[assignment]  # it holds arrays


def _freeze(name: str, given: Any, kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """Return a read-only copy of a row of whole numbers."""
    row = np.asarray(given)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
        raise InputError(
            f"{name} is {row.ndim}-dimensional {row.dtype}: give one row of whole numbers"
        )
    limits = np.iinfo(kind)
    _require_inside(name, row, int(limits.min), int(limits.max))
    copy = row.astype(kind, copy=True)
    copy.setflags(write=False)
    return copy


def _require_length(name: str, row: NDArray[Any], length: int, rule: str) -> None:
    if len(row) != length:
        raise InputError(f"{name} has {len(row)} numbers, not {length}: give {rule}")


def _require_inside(name: str, row: NDArray[Any], least: int, most: int | None = None) -> None:
    wrong = row < least if most is None else (row < least) | (row > most)
    if wrong.any():
        at = int(np.argmax(wrong))
        allowed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{name}[{at}] is {int(row[at])}: it must be {allowed}")
