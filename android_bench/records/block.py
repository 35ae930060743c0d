"""One process of the harness, with every sample, and its place in a campaign.

Times are nanoseconds of CLOCK_MONOTONIC, frequencies kHz, temperatures thousandths of a degree
Celsius, memory KiB. None always means "could not be read", never zero.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from android_bench.records.field_checks import (
    at_least,
    required,
    sha256_digits,
    texts,
    utc,
)
from android_bench.records.reading import Reading
from pfd_models.errors import InputError
from pfd_models.plain_data import CpuMask

__all__ = ["Block", "Flag", "TimedRun", "require_same_arm"]


class Flag(Enum):
    """Why a block cannot be taken at face value."""

    THROTTLED = "throttled"
    FREQUENCY_CAP_CHANGED = "frequency_cap_changed"
    CORE_LOST = "core_lost"
    WRONG_CORE = "wrong_core"
    LOADED_HOST = "loaded_host"
    CLOCK_JUMP = "clock_jump"
    REBOOTED = "rebooted"
    ENGINE_CRASHED = "engine_crashed"
    HARNESS_KILLED = "harness_killed"
    PARTIAL = "partial"
    TEMPERATURE_ROSE = "temperature_rose"


MAY_BE_EMPTY = frozenset({Flag.ENGINE_CRASHED, Flag.HARNESS_KILLED, Flag.PARTIAL})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedRun:
    """What one process of the harness measured: a load, a first inference, timed inferences.

    Attributes:
        samples_ns: (n,) int64, duration of every timed inference, in order; read-only.
        cpus: (n,) int16, the CPU each sample ended on, -1 when unknown; read-only.
        load_ns: Cold load of the file in a fresh process; None when it did not get that far.
        first_inference_ns: The first inference; None when it did not get that far.
        warmup_inferences: Inferences between the first and the timed ones.
        vm_hwm_kib: Peak resident memory of the process; None when it could not be read.
        before: Reading before the timed part.
        after: Reading after it.
        handicap_ppm: Slow-down the harness put in on purpose; the statistics never see it.
        harness_version: Version of the native harness.
    """

    samples_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    cpus: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    load_ns: int | None = None
    first_inference_ns: int | None = None
    warmup_inferences: int = 0
    vm_hwm_kib: int | None = None
    before: Reading
    after: Reading
    handicap_ppm: int = 0
    harness_version: str

    def __post_init__(self) -> None:
        """Check every field and freeze the arrays."""
        texts(self, "harness_version")
        at_least(self, 0, "warmup_inferences", "vm_hwm_kib", "handicap_ppm")
        at_least(self, 1, "load_ns", "first_inference_ns")
        object.__setattr__(self, "samples_ns", _frozen(self, "samples_ns", np.int64))
        object.__setattr__(self, "cpus", _frozen(self, "cpus", np.int16))
        count = len(self.samples_ns)
        if len(self.cpus) != count:
            raise InputError(
                f"a run has {count} samples and {len(self.cpus)} CPU numbers; give one for each"
            )
        if count and int(self.samples_ns.min()) <= 0:
            at = int(self.samples_ns.argmin())
            raise InputError(
                f"sample {at} of a run took {int(self.samples_ns[at])} ns; a duration is > 0"
            )
        if self.after.at_ns < self.before.at_ns:
            raise InputError(
                f"a run ends at {self.after.at_ns} ns, before it begins at {self.before.at_ns} ns; "
                "take both from CLOCK_MONOTONIC"
            )

    @property
    def mean_freq_khz(self) -> float | None:
        """Return the mean frequency, at both edges, of the CPUs the samples ran on, in kHz."""
        used = {int(cpu) for cpu in np.unique(self.cpus)}
        seen = [
            khz
            for reading in (self.before, self.after)
            for cpu, khz in reading.freq_khz.items()
            if khz is not None and cpu in used
        ]
        return float(np.mean(seen)) if seen else None

    def __eq__(self, other: object) -> bool:
        """Compare every field, arrays by content."""
        if not isinstance(other, TimedRun):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in _RUN_FIELDS)

    __hash__ = None  # type: ignore[assignment]  # it holds arrays


_RUN_FIELDS = dataclasses.fields(TimedRun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A timed run with its place in a campaign, and what disturbed it.

    Attributes:
        campaign_id: The campaign it belongs to.
        index: Its place in the plan.
        attempt: 0, then counting up when a disturbed block is repeated.
        label: The arm's label.
        artifact_sha256: The file that ran.
        engine: The engine that ran it.
        threads: Threads of the engine.
        cpu_mask: Bit i set: CPU i allowed; 0 when not pinned.
        round: The pair or round it belongs to.
        position: Its place within the round.
        started_utc: ISO 8601.
        run: What was measured.
        flags: What disturbed it.
    """

    campaign_id: str
    index: int
    attempt: int = 0
    label: str
    artifact_sha256: str
    engine: str
    threads: int
    cpu_mask: CpuMask
    round: int
    position: int
    started_utc: str
    run: TimedRun
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "campaign_id", "label", "engine")
        sha256_digits(self, "artifact_sha256")
        utc(self, "started_utc")
        at_least(self, 0, "index", "attempt", "cpu_mask", "round", "position")
        at_least(self, 1, "threads")
        object.__setattr__(self, "flags", frozenset(self.flags))
        required(self, all(isinstance(f, Flag) for f in self.flags), "flags", "give Flag values")
        if not len(self.run.samples_ns) and not self.flags & MAY_BE_EMPTY:
            raise InputError(
                f"block {self.index} of {self.campaign_id} has no samples; "
                "only a crashed, killed or partial block may be empty"
            )

    @property
    def key(self) -> tuple[str, int, int]:
        """Return what identifies the block: campaign, index, attempt."""
        return (self.campaign_id, self.index, self.attempt)

    @property
    def median_ns(self) -> float:
        """Return the median of the samples in ns.

        Raises:
            InputError: The block is empty.
        """
        if not len(self.run.samples_ns):
            raise InputError(f"block {self.index} of {self.campaign_id} is empty: no median")
        return float(np.median(self.run.samples_ns))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    return bool(left == right)


def _frozen(owner: TimedRun, name: str, kind: type[np.integer[Any]]) -> NDArray[Any]:
    given = np.asarray(getattr(owner, name))
    whole = given.ndim == 1 and (given.size == 0 or given.dtype.kind in "iu")
    required(owner, whole, name, "give a row of whole numbers")
    limits = np.iinfo(kind)
    inside = given.size == 0 or (given.min() >= limits.min and given.max() <= limits.max)
    required(owner, bool(inside), name, f"give numbers that fit {limits.dtype}")
    copy = given.astype(kind, copy=True)
    copy.setflags(write=False)
    return copy


_ARM_KEYS = (
    "campaign_id",
    "label",
    "artifact_sha256",
    "engine",
    "threads",
    "cpu_mask",
    "run.harness_version",
)


def require_same_arm(blocks: Iterable[Block]) -> None:
    """Refuse blocks that do not measure the same thing in the same way.

    Raises:
        InputError: Two blocks differ in a key; the line names it and both values.
    """
    blocks = list(blocks)
    for block in blocks[1:]:
        for key in _ARM_KEYS:
            read = operator.attrgetter(key)
            first, other = read(blocks[0]), read(block)
            if first != other:
                raise InputError(
                    f"blocks {blocks[0].index} and {block.index} do not belong together: "
                    f"{key} is {first!r} and {other!r}; compare arms, not mixtures"
                )
