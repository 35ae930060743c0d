"""What two files execute, side by side, as a part of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.arm_cost.core import CORES
from android_bench.arm_cost.difference import OperatorChange, align
from android_bench.arm_cost.document import CountedFile
from android_bench.campaign.result import CampaignResult
from android_bench.records import ArmCount, Role
from android_bench.report.arm_rows import CostRow, cost_rows
from pfd_models.errors import InputError

__all__ = ["CostDifference", "cost_differences", "difference_of_files"]

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDifference:
    """One file against another.

    Attributes:
        figure_id: Of its waterfall on the page.
        before: What the first file is called.
        after: What the second one is called.
        how: Engine, version and core, as a line.
        rows: What both execute, by what it is.
        changes: Every operator of both.
        total_before: Instructions of the first.
        total_after: Instructions of the second.
    """

    figure_id: str
    before: str
    after: str
    how: str
    rows: Sequence[CostRow]
    changes: Sequence[OperatorChange]
    total_before: int
    total_after: int

    @property
    def steps(self) -> list[tuple[str, int]]:
        """Return the operators that differ most, in the order they run, and the sum of the rest."""
        changed = [c for c in self.changes if c.instructions]
        most = sorted(changed, key=lambda c: -abs(c.instructions))[:_SHOWN]
        steps = [(f"{c.name} {c.places}", c.instructions) for c in changed if c in most]
        rest = sum(c.instructions for c in changed) - sum(number for _, number in steps)
        return [*steps, (f"{len(changed) - len(most)} others", rest)] if rest else steps


def difference_of_files(before: CountedFile, after: CountedFile) -> CostDifference:
    """Return two files side by side.

    Raises:
        InputError: Their counts are not comparable.
    """
    return _difference("waterfall", before.label, after.label, before.count, after.count)


def cost_differences(
    result: CampaignResult, counts: Sequence[ArmCount], number: int
) -> list[CostDifference]:
    """Return a campaign's candidates beside their baselines, where both were counted alike.

    Args:
        result: The campaign.
        counts: Of any files, the oldest first; the newest of a file and core is taken.
        number: The campaign's, on the page.
    """
    newest = {(c.artifact_sha256, c.engine, c.core): c for c in counts if c.operators}
    arms = {arm.label: arm for arm in result.campaign.arms}
    found: list[CostDifference] = []
    for arm in arms.values():
        if arm.role is not Role.CANDIDATE:
            continue
        baseline = arms[arm.compared_to]
        for core in CORES:
            before = newest.get((baseline.artifact_sha256, baseline.engine, core))
            after = newest.get((arm.artifact_sha256, arm.engine, core))
            if before is None or after is None:
                continue
            place = f"waterfall-{number}-{len(found) + 1}"
            try:
                found.append(_difference(place, baseline.label, arm.label, before, after))
            except InputError:  # counted by versions that are not comparable
                continue
    return found


def _difference(
    place: str, label_before: str, label_after: str, before: ArmCount, after: ArmCount
) -> CostDifference:
    core = CORES[after.core].title if after.core in CORES else after.core
    return CostDifference(
        figure_id=place,
        before=label_before,
        after=label_after,
        how=f"{after.engine} {after.engine_version} on {core}, {after.emulator}",
        rows=cost_rows([before.counts, after.counts]),
        changes=align(before, after),
        total_before=before.counts.instructions,
        total_after=after.counts.instructions,
    )
