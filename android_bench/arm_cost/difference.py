"""Where two files differ: their operators side by side, and what each added or saved.

Two variants of a network run nearly the same operators. They are aligned as two texts are: in
order, by what kind each operator is, an equal number of multiply-accumulates making a better match.
Two precisions of a network run the same operators on other types of numbers, a match that is less.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.arm_cost.matching import match
from android_bench.records import ArmCount, Counts, OperatorCount
from pfd_models.errors import InputError

__all__ = [
    "OUTSIDE",
    "OperatorChange",
    "align",
    "kind_of",
    "require_comparable",
    "require_operators",
    "sum_kinds",
]

OUTSIDE = "outside operators"
"""The engine's own work, as a row beside the operators."""

_OTHER_TYPES, _SAME_KIND, _SAME_WORK = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """One operator in two files.

    Attributes:
        name: As the engine calls it, in the second file where it is in both.
        before: Its place in the first file; None where only the second one has it.
        after: Its place in the second file; None where only the first one has it.
        counts_before: What it executes in the first file; nothing where it is not there.
        counts_after: The same in the second.
    """

    name: str
    before: int | None
    after: int | None
    counts_before: Counts
    counts_after: Counts

    @property
    def places(self) -> str:
        """Return its places in both files, counted from 1; empty where it has none."""
        if self.before is None and self.after is None:
            return ""
        old, new = ("" if place is None else f"{place + 1}" for place in (self.before, self.after))
        return f"{old}→{new}"

    @property
    def instructions(self) -> int:
        """Return how many instructions were added; negative where some were saved."""
        return self.counts_after.instructions - self.counts_before.instructions


def require_comparable(before: ArmCount, after: ArmCount) -> None:
    """Refuse to compare counts that were not made alike.

    Raises:
        InputError: Engine, its version, core, model of the caches or way of counting differ.
    """
    pairs = (
        ("engine", before.engine, after.engine),
        ("engine version", _release(before.engine_version), _release(after.engine_version)),
        ("core", before.core, after.core),
        ("instructions of", before.cpu_model, after.cpu_model),
        ("caches", before.caches, after.caches),
        ("way of counting", _way(before), _way(after)),
    )
    for what, old, new in pairs:
        if old != new:
            raise InputError(
                f"these counts are not comparable: {what} {old} and {new}; count both files again "
                "with the same versions"
            )


def _release(version: str) -> str:
    """Return a version without what names its build, as ``+cpu`` (PEP 440, local versions)."""
    return version.partition("+")[0]


def _way(count: ArmCount) -> str:
    """Return the version of the way of counting; the sources' hash changes with a comment."""
    return count.counter_version.partition("+")[0]


def require_operators(count: ArmCount, file: str) -> None:
    """Refuse a count that says nothing of operators.

    Raises:
        InputError: It has none.
    """
    if not count.operators:
        raise InputError(f"the count of {file} has no operators: count it again with them")


def align(before: ArmCount, after: ArmCount) -> tuple[OperatorChange, ...]:
    """Return every operator of two files, in the order they run, and the engine's own work last.

    The changes add up to the difference of the whole.

    Raises:
        InputError: The counts are not comparable.
    """
    require_comparable(before, after)
    changes = [
        _change(i, j, before.operators, after.operators)
        for i, j in match(before.operators, after.operators, _likeness)
    ]
    outside = OperatorChange(
        name=OUTSIDE,
        before=None,
        after=None,
        counts_before=before.outside,
        counts_after=after.outside,
    )
    return (*changes, outside)


def sum_kinds(changes: Sequence[OperatorChange]) -> tuple[OperatorChange, ...]:
    """Return one change for each kind of operator, of any types, named with how many there are."""
    kinds: dict[str, list[OperatorChange]] = {}
    for change in changes:
        kinds.setdefault(_without_types(change.name), []).append(change)
    return tuple(_sum(kind, members) for kind, members in kinds.items())


def _sum(kind: str, changes: Sequence[OperatorChange]) -> OperatorChange:
    old, new = (
        sum(place is not None for place in places)
        for places in ((c.before for c in changes), (c.after for c in changes))
    )
    return OperatorChange(
        name=kind if kind == OUTSIDE else f"{kind}: {old}→{new}",
        before=None,
        after=None,
        counts_before=sum((c.counts_before for c in changes), Counts()),
        counts_after=sum((c.counts_after for c in changes), Counts()),
    )


def _change(
    i: int | None, j: int | None, old: Sequence[OperatorCount], new: Sequence[OperatorCount]
) -> OperatorChange:
    name = new[j].name if j is not None else old[i].name if i is not None else ""
    return OperatorChange(
        name=name,
        before=i,
        after=j,
        counts_before=Counts() if i is None else old[i].counts,
        counts_after=Counts() if j is None else new[j].counts,
    )


def kind_of(operator: OperatorCount) -> str:
    """Return an operator's name without the number that ExecuTorch gives it."""
    return _without_number(operator.name)


@functools.cache
def _without_number(name: str) -> str:
    return re.sub(r" #\d+$", "", name)


def _likeness(old: OperatorCount, new: OperatorCount) -> int:
    if kind_of(old) != kind_of(new):
        return _OTHER_TYPES if _without_types(old.name) == _without_types(new.name) else 0
    return _SAME_WORK if old.counts.macs == new.counts.macs else _SAME_KIND


@functools.cache
def _without_types(name: str) -> str:
    """Return ``Convolution (NHWC) IGEMM`` of ``Convolution (NHWC, QC8) IGEMM #1``."""
    return re.sub(r"\((\w+)(?:, \w+)+\)", r"(\1)", _without_number(name))
