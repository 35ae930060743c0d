"""Which published results of others stand beside the networks of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.campaign.result import CampaignResult
from android_bench.records import ArtifactRecord, ForeignResult
from android_bench.report.paper import plain_name
from android_bench.statistics.summary import Summary

__all__ = ["ForeignRow", "find_foreign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """A published result beside one of ours; the two are not compared.

    Attributes:
        foreign: Theirs.
        result: Our campaign.
        summary: Our latency of the network of that name.
        artifact: Our file.
    """

    foreign: ForeignResult
    result: CampaignResult
    summary: Summary
    artifact: ArtifactRecord


def find_foreign(
    results: Sequence[CampaignResult], foreign: Sequence[ForeignResult]
) -> list[ForeignRow]:
    """Return the published results of networks called as those of the campaigns, theirs in order.

    Only the baseline's name is another's too: the paper's variants are measured nowhere else.
    """
    found = []
    for result in results:
        if result.device.emulated:
            continue  # its times are nothing to put beside a phone's
        for summary in result.summaries:
            artifact = result.artifact(summary.label)
            found += [
                ForeignRow(foreign=one, result=result, summary=summary, artifact=artifact)
                for one in foreign
                if artifact.variant in ("", "orig") and _is_same(artifact.model, one.model)
            ]
    return found


def _is_same(own: str, theirs: str) -> bool:
    """Say whether two names are of one network, whoever's collection it comes from."""
    own = own.rpartition(":")[2].removesuffix("_set2")  # torchvision:mobilenet_v2, a form of ours
    return plain_name(own) == plain_name(theirs.rpartition("/")[2])
