"""A gate: has a file become dearer than it was in a baseline, and through which operators?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from android_bench.arm_cost.difference import OperatorChange, align, require_comparable
from android_bench.records import ArmCount
from pfd_models.errors import InputError

__all__ = ["Checked", "check_counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file against its baseline.

    Attributes:
        file: Its name.
        before: The baseline's count.
        after: That of now.
        grown: Operators that execute more than before, the dearest first.
    """

    file: str
    before: ArmCount
    after: ArmCount
    grown: tuple[OperatorChange, ...]

    @property
    def ratio(self) -> float:
        """Return instructions now over instructions then."""
        return self.after.counts.instructions / self.before.counts.instructions

    def is_dearer(self, tolerance: float) -> bool:
        """Tell whether it grew by more than a share."""
        return self.ratio > 1 + tolerance


Counted = Mapping[tuple[str, str], ArmCount]


def check_counts(baseline: Counted, now: Counted) -> Sequence[Checked]:
    """Compare files with a baseline by their names.

    Args:
        baseline: File name and engine to count.
        now: The same of now.

    Raises:
        InputError: A file is in one of them only, or their counts are not comparable.
    """
    for file, engine in baseline.keys() ^ now.keys():
        where = "the baseline" if (file, engine) in now else "what is counted now"
        raise InputError(
            f"{file} with {engine} is not in {where}: write a new baseline with "
            "pfd-arm --artifacts FILES --json baseline.json"
        )
    checked = []
    for (file, engine), before in baseline.items():
        after = now[file, engine]
        require_comparable(before, after)
        changes = align(before, after) if before.operators and after.operators else ()
        grown = sorted((c for c in changes if c.instructions > 0), key=lambda c: -c.instructions)
        checked.append(Checked(file=file, before=before, after=after, grown=tuple(grown)))
    return checked
