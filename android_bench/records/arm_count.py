"""What one inference executes on an emulated core: counted, and never mixed with times.

Counts         how many instructions of which kind, bytes, modelled cache misses
OperatorCount  the same of one operator
HotBlock       the code that ran most
ArmCount       one file on one core
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from android_bench.records.field_checks import required, sha256_digits, texts, utc
from pfd_models.plain_data import to_plain

__all__ = ["KINDS", "MAC_PRECISIONS", "ArmCount", "Counts", "HotBlock", "OperatorCount"]

KINDS = (
    "branch",
    "load_scalar",
    "load_vector",
    "store_scalar",
    "store_vector",
    "atomic",
    "prefetch",
    "integer",
    "mac_fp32",
    "mac_fp16",
    "mac_fp64",
    "mac_dot",
    "mac_integer",
    "vector_multiply",
    "vector_other",
    "system",
    "other",
)
"""Kinds of instructions; each instruction is of exactly one. counter/decode.h says what is what."""

MAC_PRECISIONS = ("fp32", "fp16", "fp64", "dot", "integer")
"""Multiply-accumulates are told apart by these; `dot` is int8 into int32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one inference, or one operator of it, executes.

    The first fields are instructions of each kind; `macs_*` are multiply-accumulates of one number
    with one number, so that one FMLA of four lanes is four. Misses and lines are those of a model
    of the caches, not of a real core's.

    Attributes:
        branch: Branches, calls and returns, taken or not.
        load_scalar: Loads into general registers; a pair is one.
        load_vector: Loads into SIMD and floating-point registers.
        store_scalar: Stores of general registers.
        store_vector: Stores of SIMD and floating-point registers.
        atomic: Instructions that read and write memory.
        prefetch: Prefetches.
        integer: Arithmetic of general registers, addresses among it.
        mac_fp32: FMLA, FMLS, FMADD and the like of float32.
        mac_fp16: The same of float16.
        mac_fp64: The same of float64.
        mac_dot: SDOT, UDOT, SMMLA and the like: int8 into int32.
        mac_integer: SMLAL, MLA and the like.
        vector_multiply: FMUL, SMULL, MUL and the like, which do not accumulate.
        vector_other: All other SIMD and floating-point instructions.
        system: Hints, barriers, system registers, calls of the kernel.
        other: SVE, SME, and what is not known.
        macs_fp32: Multiply-accumulates of float32.
        macs_fp16: Of float16.
        macs_fp64: Of float64.
        macs_dot: Of int8 into int32, by dot products.
        macs_integer: Of other integers.
        bytes_loaded: That loads ask for; of vectors, all their lanes.
        bytes_stored: That stores write.
        l1_misses: Lines that were not in the modelled first level.
        l2_misses: Of these, lines that were not in the modelled second level either.
        lines: Different lines of 64 bytes that were touched; those of operators do not add up.
    """

    branch: int = 0
    load_scalar: int = 0
    load_vector: int = 0
    store_scalar: int = 0
    store_vector: int = 0
    atomic: int = 0
    prefetch: int = 0
    integer: int = 0
    mac_fp32: int = 0
    mac_fp16: int = 0
    mac_fp64: int = 0
    mac_dot: int = 0
    mac_integer: int = 0
    vector_multiply: int = 0
    vector_other: int = 0
    system: int = 0
    other: int = 0
    macs_fp32: int = 0
    macs_fp16: int = 0
    macs_fp64: int = 0
    macs_dot: int = 0
    macs_integer: int = 0
    bytes_loaded: int = 0
    bytes_stored: int = 0
    l1_misses: int = 0
    l2_misses: int = 0
    lines: int = 0

    @property
    def instructions(self) -> int:
        """Return how many instructions of all kinds were executed."""
        return sum(getattr(self, kind) for kind in KINDS)

    @property
    def loads(self) -> int:
        """Return how many instructions load; atomic ones count here and among the stores."""
        return self.load_scalar + self.load_vector + self.atomic

    @property
    def stores(self) -> int:
        """Return how many instructions store."""
        return self.store_scalar + self.store_vector + self.atomic

    @property
    def macs(self) -> int:
        """Return how many multiply-accumulates of all precisions were computed."""
        return sum(getattr(self, f"macs_{precision}") for precision in MAC_PRECISIONS)

    @property
    def working_set_bytes(self) -> int:
        """Return how much memory was touched, in whole lines."""
        return 64 * self.lines

    def __add__(self, other: Counts) -> Counts:
        """Return the sum, field by field; that of `lines` is an upper bound."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    def __sub__(self, other: Counts) -> Counts:
        """Return the difference, field by field."""
        return Counts(**{name: getattr(self, name) - getattr(other, name) for name in _FIELDS})


_FIELDS = tuple(field.name for field in dataclasses.fields(Counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCount:
    """One operator of one inference.

    Attributes:
        name: As the engine calls it.
        delegate: The delegate that ran it; empty when none did.
        counts: What it executes.
    """

    name: str
    delegate: str
    counts: Counts

    def __post_init__(self) -> None:
        """Check every field."""
        texts(self, "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class HotBlock:
    """Instructions that run one after the other, without a branch between them.

    Attributes:
        file: The library they are in; ``pfd_bench`` for the harness, empty when unknown.
        offset: Of the first one in that file's memory, in bytes.
        runs: How often one inference runs them.
        code: The instructions, 8 hexadecimal digits each.
    """

    file: str
    offset: int
    runs: int
    code: str

    @property
    def words(self) -> tuple[int, ...]:
        """Return the instructions as numbers."""
        return tuple(int(self.code[i : i + 8], 16) for i in range(0, len(self.code), 8))

    @property
    def instructions(self) -> int:
        """Return how many instructions of an inference these are."""
        return self.runs * (len(self.code) // 8)

    @property
    def code_hash(self) -> str:
        """Return 12 hexadecimal digits that tell this code from other code, wherever it lies."""
        return hashlib.sha256(bytes.fromhex(self.code)).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCount:
    """One inference of one file on one emulated core, one thread.

    Attributes:
        artifact_sha256: Of the whole file.
        engine: ``executorch`` or ``litert``.
        engine_version: Of the runtime.
        core: What the engine was told it runs on, as ``a77``.
        cpu_model: What the emulator executed, as ``cortex-a76``.
        caches: The model's sizes and ways, as ``l1=65536:4,l2=524288:8``.
        emulator: Its name and version.
        counter_version: Of the way of counting, ``+``, a hash of the counter's sources.
        harness_version: Of the native harness.
        counted_utc: When, ISO 8601.
        counts: Of the whole inference, without the engine's own profiling.
        spread: Instructions by which two counted inferences differed, as a share.
        operators: In the order they ran; empty where they were not asked for.
        blocks: The code that ran most, by instructions.
    """

    artifact_sha256: str
    engine: str
    engine_version: str
    core: str
    cpu_model: str
    caches: str
    emulator: str
    counter_version: str
    harness_version: str
    counted_utc: str
    counts: Counts
    spread: float
    operators: tuple[OperatorCount, ...] = ()
    blocks: tuple[HotBlock, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        sha256_digits(self, "artifact_sha256")
        texts(self, "engine", "engine_version", "core", "cpu_model", "caches", "emulator")
        texts(self, "counter_version", "harness_version")
        utc(self, "counted_utc")
        required(self, self.counts.instructions > 0, "counts", "an inference executes something")

    @property
    def count_id(self) -> str:
        """Return the hash of all fields."""
        plain = json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()[:32]

    @property
    def outside(self) -> Counts:
        """Return what the inference executes outside its operators: the engine's own work.

        It is what is left of the whole, so operators and this add up to it.
        """
        return self.counts - sum((o.counts for o in self.operators), Counts())

    @property
    def kernels(self) -> tuple[str, ...]:
        """Return the hottest code by hash, as far as stripped libraries let a kernel be told."""
        return tuple(
            f"{block.file}+{block.offset:#x} {block.code_hash}" for block in self.blocks[:8]
        )
