"""One published file: what it takes and returns, and how well it computes.

Plain data, as all of a manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PARITY_LIMIT", "Artifact", "Leftover", "Parity", "PrecisionCost", "TensorSpec"]

PARITY_LIMIT = 1e-4
"""Relative L-infinity distance that float32 outputs may have, here and on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a file: what to feed it or read from it.

    Attributes:
        name: The tensor's name in the file.
        shape: Its shape, in the order `layout` names; where the batch is open, with the least.
        dtype: NumPy's name, as ``float32``.
        layout: ``NCHW`` or ``NHWC`` for images, ``NC`` for rows of scores, else empty.
        scale: Of a tensor of 8-bit integers, which stand for scale * (integer - zero_point);
            None where the tensor holds its numbers themselves.
        zero_point: The integer that stands for zero.
        batch: The least and the largest first dimension that the file takes; None where it is
            fixed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = ""
    scale: float | None = None
    zero_point: int | None = None
    batch: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """An operator that stayed outside the delegate.

    Attributes:
        op: The operator's name in the format's own terms.
        count: How many of them.
        cause: Why the delegate did not take it.
        mac_share: Its share of the network's multiply-accumulates, 0 to 1.
        fix: What to change in the module.
    """

    op: str
    count: int
    cause: str
    mac_share: float
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a file's outputs are from a float64 run of the same module.

    Those of an 8-bit file are compared with this project's own integer arithmetic instead: see
    `Artifact.cost` for what they lose.

    Attributes:
        samples: How many seeded inputs were run.
        relative_linf: max |file - float64| / max |float64|, worst over samples.
        sqnr_db: Signal to quantisation noise ratio in dB, worst over samples.
        eager_relative_linf: The same distance for PyTorch's own run in float32, or with every value
            rounded to half for ``fp16``; None where the module refuses float64 and its float32
            run is the yardstick.
        limit: The relative L-infinity distance that was allowed.
    """

    samples: int
    relative_linf: float
    sqnr_db: float
    eager_relative_linf: float | None
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionCost:
    """What a file of lower precision loses against the float32 network.

    Attributes:
        samples: How many samples it was measured on; the calibration saw none of them.
        data: What those were, where the calibration does not say it.
        arm_sqnr_db: Of ``fp16``: the ratio of a run that also adds up in half, as ARM cores do, on
            some of the samples; this computer adds up in float32 and loses less.
        sqnr_db: Signal to quantisation noise ratio of the first output in dB, over all samples.
        agreement: How often both give the same best class; None where outputs are no rows of
            scores.
        float_top1: How often the float32 network's best class is the label; None without labels.
        top1: How often the file's best class is the label; None without labels.
    """

    samples: int
    sqnr_db: float
    agreement: float | None = None
    float_top1: float | None = None
    top1: float | None = None
    data: str = ""
    arm_sqnr_db: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One published file.

    Attributes:
        file: Its name, beside the manifest.
        format: ``pte``, ``onnx`` or ``tflite``.
        backend: The delegate the file was lowered for, empty where the format has none.
        precision: ``fp32``, ``fp16`` or ``int8``.
        sha256: Of the whole file.
        size_bytes: Of the whole file.
        inputs: What to feed it, in order.
        outputs: What to read from it, in order.
        delegates: How many delegate calls the runtime makes; None where the format has none.
        leftovers: Operators outside the delegate.
        parity: Its distance from the float64 run.
        build_seconds: Wall seconds of each step that made this file alone.
        cost: What its precision costs; None for float32.
    """

    file: str
    format: str
    backend: str
    precision: str
    sha256: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegates: int | None
    leftovers: tuple[Leftover, ...]
    parity: Parity
    build_seconds: Mapping[str, float]
    cost: PrecisionCost | None = None

    @property
    def least_batch(self) -> int:
        """Return the least batch of a file that leaves it open, 0 for the others."""
        return next((spec.batch[0] for spec in self.inputs if spec.batch is not None), 0)
