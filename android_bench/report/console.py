"""What the command says at the end of its work, in lines and tables."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.table import Table

from android_bench.campaign.qualify import QualifiedRun, find_resolution, group_runs
from android_bench.campaign.result import CampaignResult
from android_bench.records import Role
from android_bench.report.escape import escape_controls
from android_bench.report.tables import (
    name_units,
    operator_table,
    summary_table,
    verdict_table,
)
from android_bench.report.wording import (
    change,
    control_sentence,
    emulated_sentence,
    interval,
    mebibytes,
    name_unit,
    sentence,
)
from android_bench.statistics.undisturbed import explain_disagreement

__all__ = [
    "closing_lines",
    "qualify_lines",
    "qualify_table",
    "render_campaign",
    "slower_lines",
    "undisturbed_lines",
    "verdict_lines",
]


def verdict_lines(result: CampaignResult) -> list[str]:
    """Return a campaign's verdicts as sentences, and what its control says of them."""
    where, pairing = f"{result.campaign.name}:", result.campaign.rules.pairing
    if reason := emulated_sentence(result.device):
        return [f"{where} {reason}"]
    lines = [f"{where} {sentence(comparison)}" for comparison in result.comparisons]
    lines += [f"{where} {line}" for line in undisturbed_lines(result)]
    if not result.comparisons and len(result.campaign.arms) > 2:
        few = f"too few {name_unit(pairing)}s for a verdict"
        lines.append(f"{where} {few}: give it a longer --budget")
    lines += [f"{where} {line}" for line in _calibration_lines(result)]
    lines.append(f"{where} {control_sentence(result.control, pairing)}")
    raised = [event.message for event in result.events if event.kind == "limits_raised"]
    return lines + [f"{where} {line}" for line in raised[-1:]]


def _calibration_lines(result: CampaignResult) -> Iterator[str]:
    """Say what each 8-bit file was calibrated on."""
    for arm in result.campaign.arms:
        file = result.artifacts[arm.artifact_sha256]
        if file.calibration and arm.role is not Role.CONTROL:
            yield f"{arm.label} was calibrated on {file.calibration}"


def undisturbed_lines(result: CampaignResult) -> list[str]:
    """Return the second figure of each variant, and what it means where it differs."""
    typical = {one.label: one for one in result.comparisons}
    lines = []
    for one in result.undisturbed:
        if one.label not in typical:
            continue
        lines.append(
            f"{one.label} at undisturbed speed: {change(one.ratio)}, interval {interval(one)}"
        )
        lines += filter(None, [explain_disagreement(typical[one.label], one)])
    return lines


def closing_lines(results: Sequence[CampaignResult], store: str | None) -> list[str]:
    """Return how to see more.

    Args:
        results: Campaigns.
        store: Where they are; None for the place that a command looks at by itself.
    """
    if not results:
        return []
    ids = " ".join(result.campaign.campaign_id for result in results)
    where = f" --store {shlex.quote(store)}" if store else ""
    return [
        f"more: pfd-bench show {ids}{where}",
        f"page: pfd-bench report {ids}{where} -o report.html",
    ]


def slower_lines(results: Sequence[CampaignResult], limit: float) -> list[str]:
    """Return a line for each variant whose whole interval is slower than a limit.

    Args:
        results: Campaigns.
        limit: Allowed slow-down as a share, 0.03 for 3 %.
    """
    return [
        escape_controls(
            f"{one.label} is slower than {one.baseline} by more than {limit:.2%} in "
            f"{result.campaign.name}: {change(one.ratio)}, interval {interval(one)}",
            longest=2000,
        )
        for result in results
        for one in result.comparisons
        if one.low > 1.0 + limit
    ]


def render_campaign(result: CampaignResult) -> Iterator[str | Table]:
    """Give everything about a campaign that fits a console, part by part."""
    record = result.campaign
    yield escape_controls(f"{record.campaign_id}  {record.name}  {record.started_utc}")
    yield summary_table(result)
    yield verdict_table([result])
    for line in verdict_lines(result):
        yield escape_controls(line, longest=2000)
    for profile in result.profiles:
        yield operator_table(profile)
    for memory in result.memory:
        stages = ", ".join(f"{stage} {mebibytes(kib)}" for stage, kib in memory.rss_kib.items())
        peak = mebibytes(memory.vm_hwm_kib)
        yield escape_controls(f"memory of {memory.label}: peak {peak} ({stages})", longest=2000)
    for file in result.artifacts.values():
        line = f"{file.file}  sha256 {file.sha256}  build {file.build_id[:12]}"
        yield escape_controls(line, longest=2000)
    for event in result.events:
        yield escape_controls(f"{event.at_utc}  {event.kind}: {event.message}", longest=2000)


def qualify_table(runs: Sequence[QualifiedRun]) -> Table:
    """Return a row for each handicap: what was added, what was found."""
    units = name_units([run.result for run in runs])
    table = Table("handicap", "estimate", "interval", "covers", "verdict", units, "seconds")
    for run in runs:
        one = run.comparison
        found = (f"too few {units}", "", "", "", "")
        if one is not None:
            covers = "yes" if run.covered else "NO"
            found = (
                change(one.ratio),
                interval(one),
                covers,
                one.verdict.value,
                str(one.n_rounds),
            )
        table.add_row(change(1.0 + run.handicap), *found, f"{run.seconds:.0f}")
    return table


def qualify_lines(runs: Sequence[QualifiedRun]) -> list[str]:
    """Return what the runs say of the device."""
    judged = [run for run in runs if run.covered is not None]
    held = sum(bool(run.covered) for run in judged)
    smallest = find_resolution(runs)
    resolved = "no handicap" if smallest is None else f"{smallest:.2%} and more"
    lines = []
    for group in group_runs(runs):
        if len(group.runs) > 1:
            median_s, most_s = group.seconds
            bias = (
                "" if group.bias is None else f", off by {100 * group.bias:+.2f} points on average"
            )
            lines.append(
                f"{change(1.0 + group.handicap)}: {group.found} of {len(group.runs)} right"
                f"{bias}, in {median_s:.0f} s (four of five within {most_s:.0f} s)"
            )
    return [
        *lines,
        f"{held} of {len(judged)} intervals hold the true ratio",
        f"this device resolves {resolved} in the given time",
    ]
