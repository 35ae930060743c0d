"""Everything the bench records, in one place to import from.

Records are checked when they are made, so one that exists is right; statistics are computed
from the raw values when asked for and never stored. Blocks that do not belong together are
refused by key. Nothing here imports torch.

    device.py, artifact.py, campaign.py   who was measured
    block.py, reading.py                  what ran: samples, readings, flags
    heat.py, turns.py                     what ran where variants take turns
    arm_count.py                          what an inference executes on an emulated core
    passes.py, event.py                   the separate passes, and what happened
    foreign.py                            what others published
"""

from __future__ import annotations

from android_bench.records.arm_count import (
    MAC_PRECISIONS,
    ArmCount,
    Counts,
    HotBlock,
    OperatorCount,
)
from android_bench.records.artifact import ArtifactRecord, artifact_record
from android_bench.records.block import Block, Flag, TimedRun, require_same_arm
from android_bench.records.campaign import Arm, CampaignRecord, Role
from android_bench.records.design import Design, Pairing
from android_bench.records.device import Cluster, DeviceRecord
from android_bench.records.event import Event
from android_bench.records.foreign import ForeignResult
from android_bench.records.heat import HeatChild, HeatRecord
from android_bench.records.limits import Limits
from android_bench.records.passes import MemoryRecord, OperatorProfile, OperatorTime
from android_bench.records.reading import Reading
from android_bench.records.rules import Rules
from android_bench.records.schedule import Schedule
from android_bench.records.turns import TurnSamples

__all__ = [
    "MAC_PRECISIONS",
    "Arm",
    "ArmCount",
    "ArtifactRecord",
    "Block",
    "CampaignRecord",
    "Cluster",
    "Counts",
    "Design",
    "DeviceRecord",
    "Event",
    "Flag",
    "ForeignResult",
    "HeatChild",
    "HeatRecord",
    "HotBlock",
    "Limits",
    "MemoryRecord",
    "OperatorCount",
    "OperatorProfile",
    "OperatorTime",
    "Pairing",
    "Reading",
    "Role",
    "Rules",
    "Schedule",
    "TimedRun",
    "TurnSamples",
    "artifact_record",
    "require_same_arm",
]
