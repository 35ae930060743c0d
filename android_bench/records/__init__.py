"""Everything the bench records, in one place to import from.

Records are checked when they are made, so one that exists is right; statistics are computed
from the raw values when asked for and never stored. Blocks that do not belong together are
refused by key. Nothing here imports torch.

    device.py, artifact.py, campaign.py   who was measured
    block.py                              what ran: samples, readings, flags
    turns.py                              what ran where variants take turns
    passes.py, event.py                   the separate passes, and what happened
"""

from __future__ import annotations

from android_bench.records.artifact import ArtifactRecord, artifact_record
from android_bench.records.block import Block, Flag, Reading, require_same_arm
from android_bench.records.campaign import Arm, CampaignRecord, Role
from android_bench.records.device import Cluster, DeviceRecord
from android_bench.records.event import Event
from android_bench.records.passes import MemoryRecord, OperatorProfile, OperatorTime
from android_bench.records.turns import TurnSamples

__all__ = [
    "Arm",
    "ArtifactRecord",
    "Block",
    "CampaignRecord",
    "Cluster",
    "DeviceRecord",
    "Event",
    "Flag",
    "MemoryRecord",
    "OperatorProfile",
    "OperatorTime",
    "Reading",
    "Role",
    "TurnSamples",
    "artifact_record",
    "require_same_arm",
]
