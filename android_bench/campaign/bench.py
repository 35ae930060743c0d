"""Where campaigns run, and the files of one on its device."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from android_bench.campaign.contest import Contest, require_version
from android_bench.campaign.reference_files import write_reference
from android_bench.devices.device import Device
from android_bench.harness.job import Job
from android_bench.records import CampaignRecord, DeviceRecord, Rules
from android_bench.statistics.monitor import Decision, Reason
from android_bench.store import Store
from android_bench.store.lock import DeviceLock
from export.sets.manifest import PARITY_LIMIT

__all__ = ["Bench", "Jobs", "Watcher", "uploaded"]

Jobs = Mapping[str, Job]


class Watcher(Protocol):
    """Hears how a campaign goes; `progress.Display` draws it."""

    def begin(self, record: CampaignRecord, device: DeviceRecord) -> None:
        """Blocks begin to run, for the first time or again."""

    def step(self, text: str) -> None:
        """Something that takes a moment begins."""

    def note(self, text: str) -> None:
        """Something happened that the reader must not miss."""

    def block(self, blocks: int, disturbed: int, decision: Decision, elapsed_s: float) -> None:
        """A block ended; the decision is that of the last complete round."""

    def end(self, reason: Reason) -> None:
        """The campaign's own rule ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where campaigns run and where they are kept; the device is locked.

    Attributes:
        device: What is measured on.
        store: Where records go.
        lock: Of the device, held.
        watch: Hears how things go.
        governor: What the device's cores are held at, as ``performance``; empty when they are
            left alone.
    """

    device: Device
    store: Store
    lock: DeviceLock
    watch: Watcher
    governor: str = ""


@contextlib.contextmanager
def uploaded(device: Device, contest: Contest, rules: Rules) -> Iterator[Jobs]:
    """Bring files and reference data to the device; gives label to what to run there.

    Raises:
        InputError: A file was made for another release, or its reference data are damaged.
        DeviceError: The engine is not available there.
    """
    engine, design = device.harness.engine(contest.engine), rules.design(contest.labels)
    with tempfile.TemporaryDirectory(prefix="pfd-bench-") as temporary:
        jobs = {}
        for label, file in contest.entries:
            require_version(file, engine)
            reference = write_reference(file.manifest, file.artifact, Path(temporary))
            jobs[label] = Job(
                model=device.upload(file.path),
                engine=contest.engine,
                threads=rules.threads,
                cpu_mask=rules.cpu_mask,
                inputs=tuple(device.upload(path) for path in reference.inputs),
                expected=tuple(device.upload(path) for path in reference.expected),
                batch=file.artifact.least_batch,
                limit=max(PARITY_LIMIT, file.artifact.parity.limit),
            )
        yield {**jobs, design.control_label: jobs[design.baseline]}
