"""Two files and what they execute, as a page of their own."""

from __future__ import annotations

from android_bench.arm_cost.document import CountedFile
from android_bench.report.arm_section import difference_of_files
from android_bench.report.html import render_page
from android_bench.report.waterfall import waterfall_figure

__all__ = ["difference_page"]


def difference_page(before: CountedFile, after: CountedFile) -> str:
    """Return the page.

    Raises:
        InputError: The counts are not comparable.
    """
    cost = difference_of_files(before, after)
    return render_page(
        "arm_page.html.j2",
        {cost.figure_id: waterfall_figure(cost)},
        title=f"{before.file} → {after.file}",
        cost=cost,
    )
