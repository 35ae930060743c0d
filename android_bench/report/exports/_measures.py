"""What several formats say alike: which variants, under which names, with which samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from android_bench.campaign.pace import find_good
from android_bench.campaign.result import CampaignResult
from android_bench.records import ArtifactRecord, Pairing
from android_bench.statistics.comparison import Comparison
from android_bench.statistics.design import is_disturbed
from android_bench.statistics.summary import Summary
from android_bench.statistics.turns import find_kept
from pfd_models.errors import InputError

__all__ = ["Measured", "collect_kept_samples", "collect_measured", "require_one_campaign_each"]

Nanoseconds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One variant of a campaign, as a tool sees it that follows numbers from run to run.

    Attributes:
        name: Equal in every run of the same file on the same kind of device.
        result: Its campaign.
        summary: Its latency.
        artifact: Its file.
        comparison: With its baseline; None for a baseline, and while there is none.
        undisturbed: Likewise, at undisturbed speed.
    """

    name: str
    result: CampaignResult
    summary: Summary
    artifact: ArtifactRecord
    comparison: Comparison | None
    undisturbed: Comparison | None


def collect_measured(results: Sequence[CampaignResult], format_name: str) -> list[Measured]:
    """Return every variant that has a good block or heat, campaign by campaign.

    Raises:
        InputError: A campaign has none, ran on an emulated phone, or measured what another did.
    """
    found: dict[str, Measured] = {}
    for result in results:
        campaign_id = result.campaign.campaign_id
        if result.device.emulated:
            raise InputError(
                f"campaign {campaign_id} ran on {result.device.model}, which is emulated: its "
                f"times say nothing about a phone, so {format_name} leaves them out; csv, parquet "
                "and perfetto hold its samples"
            )
        if not result.summaries:
            raise InputError(
                f"campaign {campaign_id} has no undisturbed measurement: nothing to export as "
                f"{format_name}; see `pfd-bench show {campaign_id}`"
            )
        for one in _variants(result):
            if one.name in found:
                other = found[one.name].result.campaign.campaign_id
                raise InputError(
                    f"campaigns {other} and {campaign_id} both measured {one.name!r}: "
                    f"export each by itself as {format_name}"
                )
            found[one.name] = one
    return list(found.values())


def _variants(result: CampaignResult) -> Iterator[Measured]:
    compared = {one.label: one for one in result.comparisons}
    undisturbed = {one.label: one for one in result.undisturbed}
    for summary in result.summaries:
        arm, artifact = result.campaign.arm(summary.label), result.artifact(summary.label)
        threads = f"{arm.threads} thread{'' if arm.threads == 1 else 's'}"
        file = artifact.file.rpartition(".")[0] or artifact.file
        yield Measured(
            name=f"{file}, {arm.engine}, {threads}, {result.device.model}",
            result=result,
            summary=summary,
            artifact=artifact,
            comparison=compared.get(summary.label),
            undisturbed=undisturbed.get(summary.label),
        )


def collect_kept_samples(result: CampaignResult) -> dict[str, Nanoseconds]:
    """Return variant to the samples that its summary rests on, in order of running; no copies."""
    design = result.campaign.design
    found: dict[str, list[Nanoseconds]] = {label: [] for label in design.labels}
    if result.campaign.rules.pairing is Pairing.BLOCKS:
        for block in result.blocks:
            if not is_disturbed(block):
                found[design.variant_of(block.label)].append(block.run.samples_ns)
    elif result.pace is not None:
        for heat in find_good(result.heats, result.judged):
            turns = heat.turns
            discards = [result.pace.burst(design.variant_of(c)).discards for c in turns.children]
            begin, end = find_kept(turns, discards)
            for turn, child in enumerate(turns.turn_child):
                label = design.variant_of(turns.children[child])
                found[label].append(turns.samples_ns[begin[turn] : end[turn]])
    empty = np.empty(0, np.int64)
    return {label: np.concatenate([empty, *parts]) for label, parts in found.items()}


def require_one_campaign_each(results: Sequence[CampaignResult], format_name: str) -> None:
    """Refuse several campaigns where a file is about one.

    Raises:
        InputError: There are several.
    """
    if len(results) != 1:
        raise InputError(
            f"{len(results)} campaigns do not fit one {format_name} file: name one of them"
        )
