"""One process of the harness: every sample, and the state of the device at both edges.

Times are nanoseconds of CLOCK_MONOTONIC, frequencies kHz, temperatures thousandths of a degree
Celsius, memory KiB. None always means "could not be read", never zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from android_bench.records.field_checks import (
    at_least,
    ordered,
    required,
    sha256_digits,
    texts,
    utc,
)
from pfd_models.errors import InputError
from pfd_models.plain_data import CpuMask

__all__ = ["Block", "Flag", "Reading", "require_same_arm"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The state of a device at one edge of a block.

    Attributes:
        at_ns: CLOCK_MONOTONIC.
        cpu: The CPU that the reading thread ran on.
        freq_khz: CPU to its current frequency.
        freq_cap_khz: CPU to the highest frequency its policy allows now.
        temp_mc: Thermal zone to its temperature.
        online_cpus: Ascending.
        load_1min: The kernel's one-minute load average.
        steal_fraction: Share of CPU time the hypervisor took since the reading before, 0 to 1.
        other_busy_fraction: Share of CPU time that other processes used since then, 0 to 1.
    """

    at_ns: int
    cpu: int | None = None
    freq_khz: Mapping[int, int | None] = field(default_factory=dict)
    freq_cap_khz: Mapping[int, int | None] = field(default_factory=dict)
    temp_mc: Mapping[str, int | None] = field(default_factory=dict)
    online_cpus: tuple[int, ...] = ()
    load_1min: float | None = None
    steal_fraction: float | None = None
    other_busy_fraction: float | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        at_least(self, 0, "at_ns", "cpu")
        for name in ("freq_khz", "freq_cap_khz"):
            values = getattr(self, name).items()
            right = all(isinstance(c, int) and (f is None or f >= 0) for c, f in values)
            required(self, right, name, "map CPU numbers to kHz or None")
            object.__setattr__(self, name, ordered(getattr(self, name)))
        object.__setattr__(self, "temp_mc", ordered(self.temp_mc))
        required(
            self,
            list(self.online_cpus) == sorted(set(self.online_cpus)),
            "online_cpus",
            "give each CPU once, ascending",
        )
        for name in ("steal_fraction", "other_busy_fraction"):
            value = getattr(self, name)
            required(self, value is None or 0 <= value <= 1, name, "give a share from 0 to 1")
        required(
            self, self.load_1min is None or self.load_1min >= 0, "load_1min", "give a load >= 0"
        )

    @property
    def hottest_mc(self) -> int | None:
        """Return the highest readable temperature in thousandths of a degree Celsius."""
        return max((t for t in self.temp_mc.values() if t is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One process of the harness: a load, a first inference, a warm-up and timed inferences.

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
        samples_ns: (n,) int64, duration of every timed inference, in order; read-only.
        cpus: (n,) int16, the CPU each sample ended on, -1 when unknown; read-only.
        load_ns: Cold load of the file; None when it did not get that far.
        first_inference_ns: The first inference; None when it did not get that far.
        warmup_inferences: Inferences between the first and the timed ones.
        vm_hwm_kib: Peak resident memory of the process; None when it could not be read.
        before: Readings before the timed part.
        after: Readings after it.
        flags: What disturbed it.
        handicap_ppm: Slow-down the harness put in on purpose; the statistics never see it.
        harness_version: Version of the native harness.
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
    samples_ns: NDArray[np.int64]
    cpus: NDArray[np.int16]
    load_ns: int | None
    first_inference_ns: int | None
    warmup_inferences: int
    vm_hwm_kib: int | None
    before: Reading
    after: Reading
    flags: frozenset[Flag] = frozenset()
    handicap_ppm: int = 0
    harness_version: str

    def __post_init__(self) -> None:
        """Check every field and freeze the arrays."""
        texts(self, "campaign_id", "label", "engine", "harness_version")
        sha256_digits(self, "artifact_sha256")
        utc(self, "started_utc")
        at_least(self, 0, "index", "attempt", "cpu_mask", "round", "position", "handicap_ppm")
        at_least(self, 0, "warmup_inferences", "vm_hwm_kib")
        at_least(self, 1, "threads", "load_ns", "first_inference_ns")
        object.__setattr__(self, "samples_ns", _frozen(self, "samples_ns", np.int64))
        object.__setattr__(self, "cpus", _frozen(self, "cpus", np.int16))
        object.__setattr__(self, "flags", frozenset(self.flags))
        required(self, all(isinstance(f, Flag) for f in self.flags), "flags", "give Flag values")
        count = len(self.samples_ns)
        if len(self.cpus) != count:
            raise InputError(
                f"block {self.index} of {self.campaign_id} has {count} samples and "
                f"{len(self.cpus)} CPU numbers; give one for each"
            )
        if count == 0 and not self.flags & MAY_BE_EMPTY:
            raise InputError(
                f"block {self.index} of {self.campaign_id} has no samples; "
                "only a crashed, killed or partial block may be empty"
            )
        if count and int(self.samples_ns.min()) <= 0:
            at = int(self.samples_ns.argmin())
            raise InputError(
                f"sample {at} of block {self.index} of {self.campaign_id} took "
                f"{int(self.samples_ns[at])} ns; a duration is > 0"
            )
        if self.after.at_ns < self.before.at_ns:
            raise InputError(
                f"block {self.index} of {self.campaign_id} ends at {self.after.at_ns} ns, before "
                f"it begins at {self.before.at_ns} ns; take both from CLOCK_MONOTONIC"
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
        if not len(self.samples_ns):
            raise InputError(f"block {self.index} of {self.campaign_id} is empty: no median")
        return float(np.median(self.samples_ns))

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
        if not isinstance(other, Block):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in _BLOCK_FIELDS)

    __hash__ = None  # type: ignore[assignment]  # it holds arrays


_BLOCK_FIELDS = dataclasses.fields(Block)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    return bool(left == right)


def _frozen(owner: Block, name: str, kind: type[np.integer[Any]]) -> NDArray[Any]:
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
    "harness_version",
)


def require_same_arm(blocks: Iterable[Block]) -> None:
    """Refuse blocks that do not measure the same thing in the same way.

    Raises:
        InputError: Two blocks differ in a key; the line names it and both values.
    """
    blocks = list(blocks)
    for block in blocks[1:]:
        for key in _ARM_KEYS:
            first, other = getattr(blocks[0], key), getattr(block, key)
            if first != other:
                raise InputError(
                    f"blocks {blocks[0].index} and {block.index} do not belong together: "
                    f"{key} is {first!r} and {other!r}; compare arms, not mixtures"
                )
