"""Where two files differ: their operators side by side, and what each added or saved.

Two variants of a network run nearly the same operators. They are aligned as two texts are: in
order, by what kind each operator is, an equal number of multiply-accumulates making a better match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.records import ArmCount, Counts, OperatorCount
from pfd_models.errors import InputError

__all__ = ["OUTSIDE", "OperatorChange", "align", "require_comparable", "require_operators"]

OUTSIDE = "outside operators"
"""The engine's own work, as a row beside the operators."""

_SAME_KIND, _SAME_WORK = 2, 3


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
        ("engine version", before.engine_version, after.engine_version),
        ("core", before.core, after.core),
        ("instructions of", before.cpu_model, after.cpu_model),
        ("caches", before.caches, after.caches),
        ("way of counting", before.counter_version, after.counter_version),
    )
    for what, old, new in pairs:
        if old != new:
            raise InputError(
                f"these counts are not comparable: {what} {old} and {new}; count both files again "
                "with the same versions"
            )


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
        for i, j in _match(before.operators, after.operators)
    ]
    outside = OperatorChange(
        name=OUTSIDE,
        before=None,
        after=None,
        counts_before=before.outside,
        counts_after=after.outside,
    )
    return (*changes, outside)


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


def _kind(operator: OperatorCount) -> str:
    """Return an operator's name without the number that ExecuTorch gives it."""
    return re.sub(r" #\d+$", "", operator.name)


def _match(
    old: Sequence[OperatorCount], new: Sequence[OperatorCount]
) -> list[tuple[int | None, int | None]]:
    """Return pairs of places with the best sum of matches (Needleman and Wunsch, 1970)."""
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if (score := _likeness(old[i], new[j])) > 0:
                best[i][j] = max(best[i][j], best[i + 1][j + 1] + score)
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        score = _likeness(old[i], new[j]) if i < len(old) and j < len(new) else 0
        if score > 0 and best[i][j] == best[i + 1][j + 1] + score:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif j == len(new) or (i < len(old) and best[i][j] == best[i + 1][j]):
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs


def _likeness(old: OperatorCount, new: OperatorCount) -> int:
    if _kind(old) != _kind(new):
        return 0
    return _SAME_WORK if old.counts.macs == new.counts.macs else _SAME_KIND
